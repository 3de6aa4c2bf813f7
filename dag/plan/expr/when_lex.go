package expr

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// tokenKind is the kind of a token of `when`. The names are those of Argo's messages.
type tokenKind uint8

const (
	tkUnknown tokenKind = iota // before the first token
	tkPrefix
	tkNumeric
	tkBoolean
	tkString
	tkPattern // a string that follows =~ or !~
	tkTime    // a quoted string that reads as a date: a number of seconds
	tkVariable
	tkSeparator
	tkAccessor // a.B
	tkComparator
	tkLogical
	tkModifier
	tkClause
	tkClauseClose
	tkTernary
)

// String is the name that messages show.
func (k tokenKind) String() string {
	return [...]string{
		"UNKNOWN", "PREFIX", "NUMERIC", "BOOLEAN", "STRING", "PATTERN", "TIME", "VARIABLE", "SEPARATOR", "ACCESSOR",
		"COMPARATOR", "LOGICALOP", "MODIFIER", "CLAUSE", "CLAUSE_CLOSE", "TERNARY",
	}[k]
}

// kinds is a set of kinds.
type kinds uint32

func setOf(ks ...tokenKind) kinds {
	var s kinds
	for _, k := range ks {
		s |= 1 << k
	}
	return s
}

func (s kinds) has(k tokenKind) bool { return s&(1<<k) != 0 }

// follows says which kinds may come after a kind.
func (k tokenKind) follows() kinds {
	operators := setOf(tkModifier, tkComparator, tkLogical, tkClauseClose, tkSeparator)
	operands := setOf(tkNumeric, tkBoolean, tkVariable, tkAccessor, tkClause)
	quoted := setOf(tkString, tkTime)
	switch k {
	case tkUnknown:
		return operands | quoted | setOf(tkPrefix, tkPattern)
	case tkClause:
		return operands | quoted | setOf(tkPrefix, tkPattern, tkClauseClose)
	case tkClauseClose:
		// An operand here looks wrong. Argo lets it pass and ignores the rest.
		return operators | quoted | setOf(tkNumeric, tkBoolean, tkVariable, tkPattern, tkClause, tkTernary)
	case tkNumeric, tkBoolean, tkString, tkVariable:
		return operators | setOf(tkTernary)
	case tkTime, tkPattern:
		return operators
	case tkAccessor:
		return operators | setOf(tkClause, tkTernary)
	case tkModifier:
		return operands | setOf(tkPrefix, tkString, tkClauseClose)
	case tkComparator:
		return operands | quoted | setOf(tkPrefix, tkClauseClose, tkPattern)
	case tkLogical:
		return operands | quoted | setOf(tkPrefix, tkClauseClose)
	case tkPrefix:
		return operands | setOf(tkClauseClose)
	case tkTernary:
		return operands | quoted | setOf(tkPrefix, tkSeparator)
	default: // a separator
		return operands | quoted | setOf(tkPrefix)
	}
}

// ends says whether an expression may end with the kind.
func (k tokenKind) ends() bool {
	return setOf(tkClauseClose, tkNumeric, tkBoolean, tkString, tkTime, tkPattern, tkVariable, tkAccessor).has(k)
}

// token is a token of `when`. value is a string, float64, bool, time.Time, *regexp.Regexp, the rune of a
// parenthesis, or the []string of an a.B.
type token struct {
	kind   tokenKind
	value  any
	offset int
}

// whenLexer splits a condition into tokens.
type whenLexer struct {
	text  []rune
	pos   int
	bytes []int // byte offset of each rune
	last  tokenKind
}

// lexWhen gives all tokens of a condition.
func lexWhen(s string) ([]token, *Error) {
	l := &whenLexer{}
	for i, r := range s {
		l.text, l.bytes = append(l.text, r), append(l.bytes, i)
	}
	l.bytes = append(l.bytes, len(s))
	var tokens []token
	for {
		for l.pos < len(l.text) && unicode.IsSpace(l.text[l.pos]) {
			l.pos++
		}
		if l.pos >= len(l.text) {
			return tokens, nil
		}
		start := l.bytes[l.pos]
		t, err := l.next()
		if err != nil {
			err.Offset = start
			return nil, err
		}
		t.offset, l.last = start, t.kind
		tokens = append(tokens, t)
		if len(tokens) > MaxNodes {
			return nil, limitError(start, "more than %d tokens", MaxNodes)
		}
	}
}

// next reads one token; the position is at its first character.
func (l *whenLexer) next() (token, *Error) {
	switch c := l.text[l.pos]; {
	case isNumberRune(c):
		return l.number()
	case c == ',':
		l.pos++
		return token{kind: tkSeparator, value: ","}, nil
	case c == '[':
		l.pos++
		name, closed, err := l.until(func(r rune) bool { return r == ']' })
		if err == nil && !closed {
			err = errorAt(0, "Unclosed parameter bracket")
		}
		return token{kind: tkVariable, value: name}, err
	case unicode.IsLetter(c):
		return l.word()
	case isQuote(c):
		l.pos++
		text, closed, err := l.until(isQuote) // either quote ends either, as in Argo
		if err == nil && !closed {
			err = errorAt(0, "Unclosed string literal")
		}
		if when, ok := parseTime(text); ok {
			return token{kind: tkTime, value: when}, err
		}
		return token{kind: tkString, value: text}, err
	case c == '(':
		l.pos++
		return token{kind: tkClause, value: c}, nil
	case c == ')':
		l.pos++
		return token{kind: tkClauseClose, value: c}, nil
	default:
		return l.symbol()
	}
}

// number reads digits and dots, or 0x and hexadecimal digits.
func (l *whenLexer) number() (token, *Error) {
	if l.text[l.pos] == '0' && l.pos+2 < len(l.text) && l.text[l.pos+1] == 'x' {
		l.pos += 2
		text, err := l.run(func(r rune) bool { return unicode.Is(unicode.Hex_Digit, r) || unicode.IsDigit(r) })
		n, bad := strconv.ParseUint(text, 16, 64)
		if err == nil && bad != nil {
			err = errorAt(0, "Unable to parse hex value '%v' to uint64", text)
		}
		return token{kind: tkNumeric, value: float64(n)}, err
	}
	text, err := l.run(isNumberRune)
	n, bad := strconv.ParseFloat(text, 64)
	if err == nil && bad != nil {
		err = errorAt(0, "Unable to parse numeric value '%v' to float64", text)
	}
	return token{kind: tkNumeric, value: n}, err
}

// word reads a bare word.
func (l *whenLexer) word() (token, *Error) {
	text, err := l.run(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '.' })
	switch {
	case err != nil:
		return token{}, err
	case text == "true" || text == "false":
		return token{kind: tkBoolean, value: text == "true"}, nil
	case text == "in" || text == "IN":
		return token{kind: tkComparator, value: "in"}, nil
	case strings.HasSuffix(text, ".") && strings.Contains(text[1:], "."):
		return token{}, errorAt(0, "Hanging accessor on token '%s'", text)
	case !strings.Contains(text[1:], "."):
		return token{kind: tkVariable, value: text}, nil
	}
	for _, field := range strings.Split(text, ".")[1:] {
		if first, _ := utf8.DecodeRuneInString(field); field != "" && unicode.ToUpper(first) != first {
			return token{}, errorAt(0, "Unable to access unexported field '%s' in token '%s'", field, text)
		}
	}
	return token{kind: tkAccessor, value: strings.Split(text, ".")}, nil
}

// symbol reads an operator: everything up to a letter, digit, bracket, quote or space.
func (l *whenLexer) symbol() (token, *Error) {
	text, err := l.run(func(r rune) bool {
		return !unicode.IsDigit(r) && !unicode.IsLetter(r) && !strings.ContainsRune("()[]", r) && !isQuote(r)
	})
	if err != nil {
		return token{}, err
	}
	if l.last.follows().has(tkPrefix) && slices.Contains([]string{"-", "!", "~"}, text) {
		return token{kind: tkPrefix, value: text}, nil
	}
	if kind := operatorKind(text); kind != tkUnknown {
		return token{kind: kind, value: text}, nil
	}
	return token{}, errorAt(0, "Invalid token: '%s'", text)
}

// operatorKind is the kind of an operator that is no prefix.
func operatorKind(text string) tokenKind {
	switch text {
	case "+", "-", "*", "/", "%", "**", "&", "|", "^", ">>", "<<":
		return tkModifier
	case "&&", "||":
		return tkLogical
	case "==", "!=", ">", ">=", "<", "<=", "=~", "!~":
		return tkComparator
	case "?", ":", "??":
		return tkTernary
	}
	return tkUnknown
}

// run reads characters while they belong, up to a space. A backslash makes any character belong.
func (l *whenLexer) run(belongs func(rune) bool) (string, *Error) {
	var b strings.Builder
	for ; l.pos < len(l.text); l.pos++ {
		c := l.text[l.pos]
		if c == '\\' {
			if l.pos++; l.pos >= len(l.text) {
				return "", errorAt(0, "Unexpected end of expression after a backslash")
			}
			b.WriteRune(l.text[l.pos])
			continue
		}
		if unicode.IsSpace(c) {
			if b.Len() > 0 {
				break
			}
			continue
		}
		if !belongs(c) {
			break
		}
		b.WriteRune(c)
	}
	return b.String(), nil
}

// until reads up to an ending character, and over it. A backslash keeps the next character as it is.
func (l *whenLexer) until(ends func(rune) bool) (string, bool, *Error) {
	var b strings.Builder
	for ; l.pos < len(l.text); l.pos++ {
		c := l.text[l.pos]
		if c == '\\' {
			if l.pos++; l.pos >= len(l.text) {
				break
			}
			b.WriteRune(l.text[l.pos])
			continue
		}
		if ends(c) {
			l.pos++
			return b.String(), true, nil
		}
		b.WriteRune(c)
	}
	return b.String(), false, nil
}

func isNumberRune(r rune) bool { return unicode.IsDigit(r) || r == '.' }

func isQuote(r rune) bool { return r == '\'' || r == '"' }

// parseTime reads the forms of dates that make a quoted string a time. A time without a zone is UTC.
func parseTime(s string) (time.Time, bool) {
	if len(s) < len("3:04PM") || len(s) > 64 {
		return time.Time{}, false
	}
	for _, layout := range [...]string{
		time.ANSIC, time.UnixDate, time.RubyDate, time.Kitchen, time.RFC3339, time.RFC3339Nano, "2006-01-02",
		"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02 15:04:05-07:00", "2006-01-02T15Z0700",
		"2006-01-02T15:04Z0700", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05.999999999Z0700",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// checkSyntax checks which tokens stand next to each other.
func checkSyntax(tokens []token, end int) *Error {
	depth := 0
	for _, t := range tokens {
		switch t.kind {
		case tkClause:
			depth++
		case tkClauseClose:
			depth--
		default:
		}
	}
	if depth != 0 {
		return errorAt(end, "Unbalanced parenthesis")
	}
	last := token{kind: tkUnknown}
	for _, t := range tokens {
		if !last.kind.follows().has(t.kind) {
			if last.kind == tkVariable && t.kind == tkClause {
				return errorAt(last.offset, "Undefined function %v", last.value)
			}
			return errorAt(t.offset, "Cannot transition token types from %s to %s", last, t)
		}
		last = t
	}
	if !last.kind.ends() {
		return errorAt(end, "Unexpected end of expression")
	}
	return nil
}

// String is how messages show a token.
func (t token) String() string { return fmt.Sprintf("%s [%v]", t.kind, t.value) }
