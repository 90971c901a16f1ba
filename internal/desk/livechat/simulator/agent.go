package simulator

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// agentAction serves the agents' and the configuration's interface, for the seat.
func (s *Simulator) agentAction(r *http.Request, action string, body []byte) *answer {
	if r.Header.Get("Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(s.o.AccountID+":"+s.o.Token)) {
		return refuse(http.StatusUnauthorized, "authentication", "Authentication error")
	}
	if action == "agent/action/upload_file" {
		return s.upload(r)
	}
	if r.Header.Get("Content-Type") != "application/json" {
		return invalid("Content-Type must be application/json")
	}
	switch action {
	case "configuration/action/list_groups":
		return s.listGroups(body)
	case "agent/action/list_routing_statuses":
		return s.routingStatuses(body)
	case "agent/action/get_chat":
		return s.agentGetChat(body)
	case "agent/action/send_event":
		return s.agentSendEvent(body)
	case "agent/action/transfer_chat":
		return s.transferChat(body)
	}
	return refuse(http.StatusNotFound, "not_found", "Unknown action")
}

func (s *Simulator) listGroups(body []byte) *answer {
	if refused := read(body, &struct{}{}); refused != nil {
		return refused
	}
	list := []any{}
	for id := range 100 {
		if s.group(id) {
			list = append(list, object{"id": id, "name": fmt.Sprintf("Group %d", id), "language_code": "en", "routing_status": "online"})
		}
	}
	return ok(list)
}

func (s *Simulator) routingStatuses(body []byte) *answer {
	var in struct {
		Filters struct {
			GroupIDs []int `json:"group_ids"`
		} `json:"filters"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	list := []any{}
	for _, a := range s.o.Agents {
		if slices.ContainsFunc(in.Filters.GroupIDs, func(id int) bool { return slices.Contains(a.Groups, id) }) {
			list = append(list, object{"agent_id": a.ID, "status": map[bool]string{false: "accepting_chats", true: "not_accepting_chats"}[s.offline]})
		}
	}
	return ok(list)
}

func (s *Simulator) agentGetChat(body []byte) *answer {
	var in struct {
		ChatID   string `json:"chat_id"`
		ThreadID string `json:"thread_id"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	c := s.chat(in.ChatID)
	if c == nil || c.find(in.ThreadID) == nil {
		return refuse(http.StatusNotFound, "not_found", "Chat not found")
	}
	return ok(s.chatObject(c, c.find(in.ThreadID), false))
}

func (s *Simulator) agentSendEvent(body []byte) *answer {
	var in struct {
		ChatID string    `json:"chat_id"`
		Event  wireEvent `json:"event"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	c := s.chat(in.ChatID)
	switch {
	case c == nil:
		return refuse(http.StatusNotFound, "not_found", "Chat not found")
	case !c.thread().Active:
		return errInactive
	case !c.thread().has(Seat):
		return refuse(http.StatusForbidden, "missing_access", "Requester is not user of the chat")
	}
	e, refused := s.event(&in.Event, Seat.ID, true)
	if refused != nil {
		return refused
	}
	e = s.add(c.thread(), e)
	s.notifyEvent(c, c.thread(), &e)
	return ok(object{"event_id": e.ID})
}

func (s *Simulator) transferChat(body []byte) *answer {
	var in struct {
		ID     string `json:"id"`
		Target struct {
			Type string `json:"type"`
			IDs  []any  `json:"ids"`
		} `json:"target"`
		IgnoreAgents   bool `json:"ignore_agents_availability"`
		IgnorePresence bool `json:"ignore_requester_presence"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	c := s.chat(in.ID)
	switch {
	case c == nil:
		return refuse(http.StatusNotFound, "not_found", "Chat not found")
	case !c.thread().Active:
		return errInactive
	case !c.thread().has(Seat) && !in.IgnorePresence:
		return refuse(http.StatusForbidden, "missing_access", "Requester is not user of the chat")
	case len(in.Target.IDs) != 1:
		return invalid("one target is simulated")
	}
	switch in.Target.Type {
	case "group":
		id, isNumber := in.Target.IDs[0].(float64)
		if !isNumber || !s.group(int(id)) {
			return refuse(http.StatusBadRequest, "group_not_found", "Group not found")
		}
		var to []Agent
		if !s.offline {
			to = slices.DeleteFunc(slices.Clone(s.o.Agents), func(a Agent) bool { return a.Bot || !slices.Contains(a.Groups, int(id)) })
		}
		if len(to) == 0 && !in.IgnoreAgents {
			return invalid("Cannot assign any agent from requested groups")
		}
		if len(to) > 1 {
			to = to[:1]
		}
		s.move(c, []int{int(id)}, to, Seat.ID)
	case "agent":
		to := slices.DeleteFunc(slices.Clone(s.o.Agents), func(a Agent) bool { return !strings.EqualFold(a.ID, fmt.Sprint(in.Target.IDs[0])) })
		if len(to) == 0 {
			return invalid("there is no such agent")
		}
		s.move(c, nil, to, Seat.ID)
	default:
		return invalid("target.type must be group or agent")
	}
	return ok(object{})
}

// move gives the active thread to other agents, none = it waits in the queue.
func (s *Simulator) move(c *Chat, groups []int, to []Agent, requester string) Notification {
	t := c.thread()
	t.Present = to
	t.Was = append(t.Was, to...)
	if groups != nil {
		t.Groups = groups
	}
	payload := object{"chat_id": c.ID, "thread_id": t.ID, "requester_id": requester, "reason": "manual"}
	target := object{"group_ids": t.Groups}
	if len(to) > 0 {
		target["agent_ids"] = []string{to[0].ID}
	} else {
		payload["queue"] = object{"position": 1, "wait_time": 60, "queued_at": stamp(s.o.Now())}
	}
	payload["transferred_to"] = target
	return s.notify(c, t, "chat_transferred", payload)
}

func (t *Thread) has(a Agent) bool {
	return slices.ContainsFunc(t.Present, func(x Agent) bool { return x.ID == a.ID })
}
