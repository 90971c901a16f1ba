package store

// Rows lists the columns of every row type by its table.
func Rows() map[string][]string {
	return map[string][]string{
		"agents":         columnsOf[agentRow](),
		"agent_keys":     columnsOf[keyRow](),
		"connections":    columnsOf[connectionRow](),
		"conversations":  columnsOf[conversationRow](),
		"events":         columnsOf[eventRow](),
		"handoffs":       columnsOf[handoffRow](),
		"operator_notes": columnsOf[noteRow](),
		"lanes":          columnsOf[laneRow](),
		"deliveries":     columnsOf[deliveryRow](),
		"once":           columnsOf[onceRow](),
	}
}
