package handoff_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// want is what an input does in a state; the zero value is a rejection.
type want struct {
	to      handoff.State
	reason  handoff.CloseReason
	effects []handoff.Effect
}

var no = want{}

func to(state handoff.State, effects ...handoff.Effect) want {
	return want{to: state, effects: effects}
}

func stay(state handoff.State) want { return want{to: state} }

func end(reason handoff.CloseReason, effects ...handoff.Effect) want {
	return want{to: handoff.StateClosed, reason: reason, effects: effects}
}

// matrix says by hand what every input does in every state. It repeats no
// definition of the table on purpose: whoever changes one must change the other.
var matrix = map[handoff.State]map[handoff.Input]want{
	handoff.StateNone: {
		handoff.EmailSettled:   no,
		handoff.EmailAbandoned: no,
		handoff.DeskAccepted:   no,
		handoff.DeskRefused:    no,
		handoff.DeskLost:       no,
		handoff.UserWrote:      no,
		handoff.OperatorWrote:  no,
		handoff.WaitElapsed:    no,
		handoff.WaitEnded:      no,
		handoff.AnswerElapsed:  no,
		handoff.SessionElapsed: no,
		handoff.KeptWaiting:    no,
		handoff.UserCancelled:  no,
		handoff.UserEnded:      no,
		handoff.OperatorEnded:  no,
		handoff.AdminEnded:     no,
		handoff.Disabled:       no,
		handoff.Requested:      to(handoff.StateRequesting, handoff.OpenAtDesk),
		handoff.EmailMissing:   to(handoff.StateCollectingEmail, handoff.AskEmail),
		handoff.TookOver:       to(handoff.StateActive, handoff.StopDeadline, handoff.SayConnected, handoff.RelayToUser, handoff.StartSession),
	},
	handoff.StateCollectingEmail: {
		handoff.EmailSettled:   to(handoff.StateRequesting, handoff.StopDeadline, handoff.OpenAtDesk),
		handoff.EmailAbandoned: end(handoff.ReasonEmailNotGiven, handoff.StopDeadline, handoff.SayEnded),
		handoff.DeskAccepted:   no,
		handoff.DeskRefused:    no,
		handoff.DeskLost:       end(handoff.ReasonTransferFailed, handoff.StopDeadline, handoff.SayEnded),
		handoff.UserWrote:      to(handoff.StateCollectingEmail, handoff.CheckEmail),
		handoff.OperatorWrote:  no,
		handoff.WaitElapsed:    no,
		handoff.WaitEnded:      no,
		handoff.AnswerElapsed:  no,
		handoff.SessionElapsed: no,
		handoff.KeptWaiting:    no,
		handoff.UserCancelled:  end(handoff.ReasonUserCancelled, handoff.StopDeadline, handoff.SayEnded),
		handoff.UserEnded:      end(handoff.ReasonUserCancelled, handoff.StopDeadline, handoff.SayEnded),
		handoff.OperatorEnded:  no,
		handoff.AdminEnded:     end(handoff.ReasonAdminEnded, handoff.StopDeadline, handoff.SayEnded),
		handoff.Disabled:       end(handoff.ReasonHandoffDisabled, handoff.StopDeadline, handoff.SayEnded),
		handoff.Requested:      no,
		handoff.EmailMissing:   no,
		handoff.TookOver:       no,
	},
	handoff.StateRequesting: {
		handoff.EmailSettled:   stay(handoff.StateRequesting),
		handoff.EmailAbandoned: no,
		handoff.DeskAccepted:   to(handoff.StateWaiting, handoff.SayConnecting, handoff.StartWait),
		handoff.DeskRefused:    end(handoff.ReasonTransferFailed, handoff.StopDeadline, handoff.DropUnsent, handoff.SayEnded),
		handoff.DeskLost:       end(handoff.ReasonTransferFailed, handoff.StopDeadline, handoff.DropUnsent, handoff.SayEnded),
		handoff.UserWrote:      to(handoff.StateRequesting, handoff.SendToDesk),
		handoff.OperatorWrote:  to(handoff.StateActive, handoff.StopDeadline, handoff.SayConnected, handoff.RelayToUser, handoff.StartSession),
		handoff.WaitElapsed:    no,
		handoff.WaitEnded:      no,
		handoff.AnswerElapsed:  no,
		handoff.SessionElapsed: no,
		handoff.KeptWaiting:    no,
		handoff.UserCancelled:  end(handoff.ReasonUserCancelled, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.UserEnded:      end(handoff.ReasonUserCancelled, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.OperatorEnded:  end(handoff.ReasonOperatorEnded, handoff.StopDeadline, handoff.DropUnsent, handoff.SayEnded),
		handoff.AdminEnded:     end(handoff.ReasonAdminEnded, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.Disabled:       end(handoff.ReasonHandoffDisabled, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.Requested:      no,
		handoff.EmailMissing:   no,
		handoff.TookOver:       no,
	},
	handoff.StateWaiting: {
		handoff.EmailSettled:   stay(handoff.StateWaiting),
		handoff.EmailAbandoned: no,
		handoff.DeskAccepted:   stay(handoff.StateWaiting),
		handoff.DeskRefused:    stay(handoff.StateWaiting),
		handoff.DeskLost:       end(handoff.ReasonTransferFailed, handoff.StopDeadline, handoff.DropUnsent, handoff.SayEnded),
		handoff.UserWrote:      to(handoff.StateWaiting, handoff.SendToDesk),
		handoff.OperatorWrote:  to(handoff.StateActive, handoff.StopDeadline, handoff.SayConnected, handoff.RelayToUser, handoff.StartSession),
		handoff.WaitElapsed:    to(handoff.StateWaitExpired, handoff.AskKeepWaiting),
		handoff.WaitEnded:      end(handoff.ReasonWaitTimeout, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.AnswerElapsed:  no,
		handoff.SessionElapsed: no,
		handoff.KeptWaiting:    stay(handoff.StateWaiting),
		handoff.UserCancelled:  end(handoff.ReasonUserCancelled, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.UserEnded:      end(handoff.ReasonUserEnded, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.OperatorEnded:  end(handoff.ReasonOperatorEnded, handoff.StopDeadline, handoff.DropUnsent, handoff.SayEnded),
		handoff.AdminEnded:     end(handoff.ReasonAdminEnded, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.Disabled:       end(handoff.ReasonHandoffDisabled, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.Requested:      no,
		handoff.EmailMissing:   no,
		handoff.TookOver:       no,
	},
	handoff.StateWaitExpired: {
		handoff.EmailSettled:   stay(handoff.StateWaitExpired),
		handoff.EmailAbandoned: no,
		handoff.DeskAccepted:   stay(handoff.StateWaitExpired),
		handoff.DeskRefused:    stay(handoff.StateWaitExpired),
		handoff.DeskLost:       end(handoff.ReasonTransferFailed, handoff.StopDeadline, handoff.DropUnsent, handoff.SayEnded),
		handoff.UserWrote:      to(handoff.StateWaitExpired, handoff.SendToDesk),
		handoff.OperatorWrote:  to(handoff.StateActive, handoff.StopDeadline, handoff.SayConnected, handoff.RelayToUser, handoff.StartSession),
		handoff.WaitElapsed:    no,
		handoff.WaitEnded:      no,
		handoff.AnswerElapsed:  end(handoff.ReasonWaitTimeout, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.SessionElapsed: no,
		handoff.KeptWaiting:    to(handoff.StateWaiting, handoff.StartWait),
		handoff.UserCancelled:  end(handoff.ReasonWaitTimeout, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.UserEnded:      end(handoff.ReasonWaitTimeout, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.OperatorEnded:  end(handoff.ReasonOperatorEnded, handoff.StopDeadline, handoff.DropUnsent, handoff.SayEnded),
		handoff.AdminEnded:     end(handoff.ReasonAdminEnded, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.Disabled:       end(handoff.ReasonHandoffDisabled, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.Requested:      no,
		handoff.EmailMissing:   no,
		handoff.TookOver:       no,
	},
	handoff.StateActive: {
		handoff.EmailSettled:   stay(handoff.StateActive),
		handoff.EmailAbandoned: no,
		handoff.DeskAccepted:   stay(handoff.StateActive),
		handoff.DeskRefused:    stay(handoff.StateActive),
		handoff.DeskLost:       end(handoff.ReasonTransferFailed, handoff.StopDeadline, handoff.DropUnsent, handoff.SayEnded),
		handoff.UserWrote:      to(handoff.StateActive, handoff.StopDeadline, handoff.SendToDesk),
		handoff.OperatorWrote:  to(handoff.StateActive, handoff.RelayToUser, handoff.StartSession),
		handoff.WaitElapsed:    no,
		handoff.WaitEnded:      no,
		handoff.AnswerElapsed:  no,
		handoff.SessionElapsed: end(handoff.ReasonSessionTimeout, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.KeptWaiting:    stay(handoff.StateActive),
		handoff.UserCancelled:  no,
		handoff.UserEnded:      end(handoff.ReasonUserEnded, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.OperatorEnded:  end(handoff.ReasonOperatorEnded, handoff.StopDeadline, handoff.DropUnsent, handoff.SayEnded),
		handoff.AdminEnded:     end(handoff.ReasonAdminEnded, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.Disabled:       end(handoff.ReasonHandoffDisabled, handoff.StopDeadline, handoff.CloseAtDesk, handoff.SayEnded),
		handoff.Requested:      no,
		handoff.EmailMissing:   no,
		handoff.TookOver:       no,
	},
	handoff.StateClosed: {
		handoff.EmailSettled:   no,
		handoff.EmailAbandoned: no,
		handoff.DeskAccepted:   stay(handoff.StateClosed),
		handoff.DeskRefused:    stay(handoff.StateClosed),
		handoff.DeskLost:       stay(handoff.StateClosed),
		handoff.UserWrote:      no,
		handoff.OperatorWrote:  no,
		handoff.WaitElapsed:    no,
		handoff.WaitEnded:      no,
		handoff.AnswerElapsed:  no,
		handoff.SessionElapsed: no,
		handoff.KeptWaiting:    no,
		handoff.UserCancelled:  stay(handoff.StateClosed),
		handoff.UserEnded:      stay(handoff.StateClosed),
		handoff.OperatorEnded:  stay(handoff.StateClosed),
		handoff.AdminEnded:     stay(handoff.StateClosed),
		handoff.Disabled:       stay(handoff.StateClosed),
		handoff.Requested:      no,
		handoff.EmailMissing:   no,
		handoff.TookOver:       no,
	},
}

// fromStates are the states that inputs can meet.
var fromStates = append([]handoff.State{handoff.StateNone}, handoff.States...)

func TestLifecycleMatrix(t *testing.T) {
	t.Parallel()
	require.Len(t, matrix, len(fromStates))
	for _, state := range fromStates {
		row, ok := matrix[state]
		require.True(t, ok, "the matrix lacks the state %s", state)
		require.Len(t, row, len(handoff.Inputs), "%s", state)
		for _, input := range handoff.Inputs {
			want, ok := row[input]
			require.True(t, ok, "the matrix lacks %s in %s", input, state)
			rule, err := handoff.Next(state, input)
			if want.to == "" {
				requireNotAllowed(t, err, state)
				require.Zero(t, rule)
				continue
			}
			require.NoError(t, err, "%s in %s", input, state)
			require.Equal(t, handoff.Rule{From: state, On: input, To: want.to, Reason: want.reason, Effects: want.effects}, rule)
			require.Equal(t, want.to == state && want.effects == nil, rule.Quiet(), "%s in %s", input, state)
		}
	}
}

// The lists that everything walks over hold every constant of their type.
func TestListsAreComplete(t *testing.T) {
	t.Parallel()
	declared := constants(t, ".")
	require.ElementsMatch(t, declared["State"], texts(fromStates))
	require.ElementsMatch(t, declared["Input"], texts(handoff.Inputs))
	require.ElementsMatch(t, declared["CloseReason"], append(texts(handoff.CloseReasons), ""))
	require.ElementsMatch(t, declared["Notice"], texts(handoff.Notices))
	require.ElementsMatch(t, declared["Outcome"], texts(handoff.Outcomes))
	require.ElementsMatch(t, declared["Channel"], texts(handoff.Channels))

	var effects []handoff.Effect
	for _, rule := range handoff.Lifecycle() {
		effects = append(effects, rule.Effects...)
	}
	slices.Sort(effects)
	require.ElementsMatch(t, declared["Effect"], texts(slices.Compact(effects)), "every effect is used")
}

func texts[S ~string](list []S) []string {
	var out []string
	for _, s := range list {
		out = append(out, string(s))
	}
	return out
}

// constants finds the text constants of a package by the name of their type.
func constants(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	found := map[string][]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			kind, named := spec.Type.(*ast.Ident)
			value, literal := spec.Values[0].(*ast.BasicLit)
			if named && literal && value.Kind == token.STRING {
				text, err := strconv.Unquote(value.Value)
				require.NoError(t, err)
				found[kind.Name] = append(found[kind.Name], text)
			}
			return true
		})
	}
	return found
}

func TestLifecycleShape(t *testing.T) {
	t.Parallel()
	type pair struct {
		from handoff.State
		on   handoff.Input
	}
	seen := map[pair]bool{}
	next := map[handoff.State][]handoff.State{}
	inputs := map[handoff.Input]bool{}
	reasons := map[handoff.CloseReason]bool{}
	for _, r := range handoff.Lifecycle() {
		require.False(t, seen[pair{r.From, r.On}], "%s in %s has two rules", r.On, r.From)
		seen[pair{r.From, r.On}] = true
		inputs[r.On] = true
		next[r.From] = append(next[r.From], r.To)
		require.Contains(t, fromStates, r.From)
		require.Contains(t, handoff.States, r.To)

		closing := r.From != handoff.StateClosed && r.To == handoff.StateClosed
		require.Equal(t, closing, r.Reason != "", "%s in %s has the reason %q", r.On, r.From, r.Reason)
		if closing {
			require.Contains(t, handoff.CloseReasons, r.Reason)
			reasons[r.Reason] = true
		}
		if r.From == handoff.StateClosed {
			require.True(t, r.Quiet(), "%s leads out of CLOSED or does something there", r.On)
		}
		require.False(t, r.From != r.To && len(r.Effects) == 0, "%s moves %s without a word to anybody", r.On, r.From)
	}
	require.Len(t, inputs, len(handoff.Inputs), "every input is good for something")
	require.Len(t, reasons, len(handoff.CloseReasons), "every reason can happen")

	reached := reachable(next, handoff.StateCollectingEmail)
	require.Len(t, reached, len(handoff.States), "every state can be reached when e-mail is asked for")
	require.Len(t, reachable(next, handoff.StateRequesting), len(handoff.States)-1, "and all but the first when it is not")
	for _, state := range handoff.States {
		require.Contains(t, reachable(next, state), handoff.StateClosed, "%s can end", state)
		if state == handoff.StateClosed {
			continue
		}
		for _, always := range []handoff.Input{handoff.UserEnded, handoff.AdminEnded, handoff.Disabled, handoff.DeskLost} {
			rule, err := handoff.Next(state, always)
			require.NoError(t, err)
			require.Equal(t, handoff.StateClosed, rule.To, "%s ends in %s", state, always)
		}
	}
}

func reachable(next map[handoff.State][]handoff.State, from handoff.State) map[handoff.State]bool {
	found := map[handoff.State]bool{from: true}
	for queue := []handoff.State{from}; len(queue) > 0; queue = queue[1:] {
		for _, state := range next[queue[0]] {
			if !found[state] {
				found[state] = true
				queue = append(queue, state)
			}
		}
	}
	return found
}

// A caller of Lifecycle gets a table of its own.
func TestLifecycleIsACopy(t *testing.T) {
	t.Parallel()
	handoff.Lifecycle()[0].To = handoff.StateClosed
	rule, err := handoff.Next(handoff.StateCollectingEmail, handoff.EmailSettled)
	require.NoError(t, err)
	require.Equal(t, handoff.StateRequesting, rule.To)
}

// arms says which deadline an effect arms and in which state that deadline belongs.
// The deadline of the e-mail step is armed by the questions, not by a rule.
var arms = map[handoff.Effect]handoff.State{
	handoff.StartWait:      handoff.StateWaiting,
	handoff.AskKeepWaiting: handoff.StateWaitExpired,
	handoff.StartSession:   handoff.StateActive,
}

func TestLifecycleEffects(t *testing.T) {
	t.Parallel()
	for _, r := range handoff.Lifecycle() {
		name := string(r.On) + " in " + string(r.From)
		has := func(e handoff.Effect) bool { return slices.Contains(r.Effects, e) }
		moves := r.From != r.To

		armed := 0
		for effect, state := range arms {
			if has(effect) {
				armed++
				require.Equal(t, state, r.To, "%s arms %s", name, effect)
			}
			if moves && r.To == state {
				require.True(t, has(effect), "%s enters %s without its deadline", name, state)
			}
		}
		require.LessOrEqual(t, armed, 1, "%s arms two deadlines", name)

		closing := moves && r.To == handoff.StateClosed
		require.Equal(t, closing, has(handoff.SayEnded), name)
		require.Equal(t, moves && r.To == handoff.StateRequesting, has(handoff.OpenAtDesk), name)
		if closing {
			require.True(t, has(handoff.StopDeadline), "%s leaves a deadline behind", name)
		}
		// The desk is told of an end unless it said so itself or never heard of the handoff.
		bySelf := slices.Contains([]handoff.Input{handoff.DeskRefused, handoff.DeskLost, handoff.OperatorEnded}, r.On)
		known := r.From != handoff.StateCollectingEmail
		require.Equal(t, closing && known && !bySelf, has(handoff.CloseAtDesk), name)
		require.Equal(t, closing && known && bySelf, has(handoff.DropUnsent), name)

		// "Connecting" is said only after the desk accepted, "connected" only after an Operator wrote.
		require.Equal(t, moves && r.To == handoff.StateWaiting && r.On == handoff.DeskAccepted, has(handoff.SayConnecting), name)
		require.Equal(t, moves && r.To == handoff.StateActive, has(handoff.SayConnected), name)
		require.Equal(t, r.On == handoff.OperatorWrote || r.On == handoff.TookOver, has(handoff.RelayToUser), name)
		if has(handoff.SayConnected) {
			require.Less(t, slices.Index(r.Effects, handoff.SayConnected), slices.Index(r.Effects, handoff.RelayToUser), name)
		}
		require.Equal(t, r.On == handoff.UserWrote && known, has(handoff.SendToDesk), name)
		require.Equal(t, r.On == handoff.UserWrote && !known, has(handoff.CheckEmail), name)
		require.Equal(t, moves && r.To == handoff.StateCollectingEmail, has(handoff.AskEmail), name)

		if has(handoff.StopDeadline) && armed > 0 {
			require.Zero(t, slices.Index(r.Effects, handoff.StopDeadline), "%s stops what it arms", name)
		}
	}
}

// walk feeds inputs to the lifecycle and checks after each that CLOSED is never
// left and that at most the one deadline of the state is armed.
func walk(t *testing.T, state handoff.State, inputs []handoff.Input) {
	t.Helper()
	armed := handoff.State("")
	if state == handoff.StateCollectingEmail {
		armed = state
	}
	for i, on := range inputs {
		rule, err := handoff.Next(state, on)
		if err != nil {
			require.True(t, fault.Is(err, fault.NotAllowedInState))
			continue
		}
		require.Equal(t, state, rule.From)
		require.False(t, state == handoff.StateClosed && rule.To != handoff.StateClosed, "left CLOSED at step %d", i)
		for _, effect := range rule.Effects {
			if effect == handoff.StopDeadline {
				armed = ""
			}
			if arms[effect] != "" {
				require.False(t, armed != "" && armed != rule.From, "%s arms a second deadline at step %d", on, i)
				armed = arms[effect]
			}
		}
		state = rule.To
		require.True(t, armed == "" || armed == state, "in %s the deadline of %s is armed at step %d", state, armed, i)
	}
}

func TestLifecycleWalk(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 0))
		inputs := make([]handoff.Input, 60)
		for i := range inputs {
			inputs[i] = handoff.Inputs[random.IntN(len(handoff.Inputs))]
		}
		walk(t, handoff.States[seed%2], inputs)
	}
}

func FuzzLifecycle(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 2, 6, 5, 6, 10, 13})
	f.Add([]byte{1, 2, 7, 11, 7, 9, 14})
	f.Fuzz(func(t *testing.T, data []byte) {
		var inputs []handoff.Input
		for _, b := range data {
			inputs = append(inputs, handoff.Inputs[int(b)%len(handoff.Inputs)])
		}
		walk(t, handoff.StateCollectingEmail, inputs)
		walk(t, handoff.StateRequesting, inputs)
	})
}
