package iostreams

// Style colours text, or leaves it alone where colours are not wanted. The zero value leaves it alone.
type Style struct{ on bool }

func (s Style) wrap(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Enabled reports whether colours are used.
func (s Style) Enabled() bool { return s.on }

// Bold is for what matters most: headings, names.
func (s Style) Bold(text string) string { return s.wrap("1", text) }

// Dim is for what matters least.
func (s Style) Dim(text string) string { return s.wrap("2", text) }

// Red is for errors and failures.
func (s Style) Red(text string) string { return s.wrap("31", text) }

// Green is for what ended well.
func (s Style) Green(text string) string { return s.wrap("32", text) }

// Yellow is for warnings and what is held or cancelled.
func (s Style) Yellow(text string) string { return s.wrap("33", text) }

// Blue is for what runs.
func (s Style) Blue(text string) string { return s.wrap("34", text) }

// Cyan is for what has data for others, and for hints.
func (s Style) Cyan(text string) string { return s.wrap("36", text) }

// Status colours the name of a task's or stage's status.
func (s Style) Status(status string) string { return s.For(status)(status) }

// For gives the colour of a status, to be used on any text.
func (s Style) For(status string) func(string) string {
	switch status {
	case "COMPLETED":
		return s.Green
	case "FAILED":
		return s.Red
	case "RUNNING", "LAUNCHING":
		return s.Blue
	case "PREPARED":
		return s.Cyan
	case "SUSPEND", "SUSPENDED", "RETRYING", "CANCELLING", "CANCELLED":
		return s.Yellow
	case "SKIPPED", "OMITTED":
		return s.Dim
	}
	return func(text string) string { return text }
}
