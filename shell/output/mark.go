package output

// Mark is a symbol for a status: the same as its colour says, for those who do not see colours. Without UTF-8 it is ASCII.
func Mark(status string, utf8 bool) string {
	ascii, symbol := ".", "·"
	switch status {
	case "COMPLETED":
		ascii, symbol = "+", "✓"
	case "FAILED":
		ascii, symbol = "x", "✗"
	case "RUNNING", "LAUNCHING":
		ascii, symbol = ">", "▶"
	case "PREPARED":
		ascii, symbol = "*", "◆"
	case "SUSPEND", "SUSPENDED":
		ascii, symbol = "=", "‖"
	case "RETRYING":
		ascii, symbol = "~", "↻"
	case "CANCELLED", "CANCELLING":
		ascii, symbol = "-", "⊘"
	case "SKIPPED", "OMITTED":
		ascii, symbol = "o", "○"
	case "":
		ascii, symbol = "*", "●"
	}
	if utf8 {
		return symbol
	}
	return ascii
}
