package expr

import (
	"slices"
	"strings"
)

// DependsOp is the operator of a DependsExpr.
type DependsOp uint8

const (
	// DependsAtom tests one task.
	DependsAtom DependsOp = iota
	// DependsAnd holds if all of Sub hold.
	DependsAnd
	// DependsOr holds if one of Sub holds.
	DependsOr
	// DependsNot holds if its one Sub does not.
	DependsNot
)

// DependsExpr is the condition of a task over the outcomes of others, as a tree.
type DependsExpr struct {
	Op DependsOp
	// Sub are the operands: two or more of And and Or, one of Not, none of an atom.
	Sub []*DependsExpr
	// Task is an atom's task.
	Task string
	// Result is an atom's outcome: "" for a plain dependency, else one of DependsResults.
	Result string
	// Offset is the byte in the text at which the expression begins.
	Offset int
}

// DependsResults lists the outcomes that can follow a task's name.
func DependsResults() []string {
	return []string{"Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed"}
}

// ParseDepends reads Argo's `depends`: task names, each alone or with .Result, combined with !, && and || (in this order of
// binding) and parentheses. Errors are *Error. The empty text is an error.
func ParseDepends(s string) (*DependsExpr, error) {
	if len(s) > MaxExpression {
		return nil, limitError(0, "depends is longer than %d bytes", MaxExpression)
	}
	p := &dependsParser{text: s}
	e, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(s) {
		return nil, p.unexpected("&&, || or the end")
	}
	return e, nil
}

// Tasks lists the tasks that the condition names, each once, in the order of the text.
func (d *DependsExpr) Tasks() []string {
	var tasks []string
	seen := map[string]bool{}
	d.walk(func(atom *DependsExpr) {
		if !seen[atom.Task] {
			seen[atom.Task] = true
			tasks = append(tasks, atom.Task)
		}
	})
	return tasks
}

// Atoms lists the atoms in the order of the text.
func (d *DependsExpr) Atoms() []*DependsExpr {
	var atoms []*DependsExpr
	d.walk(func(atom *DependsExpr) { atoms = append(atoms, atom) })
	return atoms
}

func (d *DependsExpr) walk(visit func(atom *DependsExpr)) {
	if d.Op == DependsAtom {
		visit(d)
	}
	for _, sub := range d.Sub {
		sub.walk(visit)
	}
}

// Eval says whether the condition holds, given what each atom is. It stops at the first operand that decides.
func (d *DependsExpr) Eval(atom func(task, result string) bool) bool {
	switch d.Op {
	case DependsAnd:
		return !slices.ContainsFunc(d.Sub, func(e *DependsExpr) bool { return !e.Eval(atom) })
	case DependsOr:
		return slices.ContainsFunc(d.Sub, func(e *DependsExpr) bool { return e.Eval(atom) })
	case DependsNot:
		return !d.Sub[0].Eval(atom)
	default:
		return atom(d.Task, d.Result)
	}
}

// String is the condition in text, with the parentheses that it needs. Parsing it gives the same tree.
func (d *DependsExpr) String() string {
	switch d.Op {
	case DependsAnd:
		return d.join(" && ", DependsAnd, DependsOr)
	case DependsOr:
		return d.join(" || ", DependsOr)
	case DependsNot:
		return "!" + d.Sub[0].in(DependsAnd, DependsOr)
	default:
		if d.Result == "" {
			return d.Task
		}
		return d.Task + "." + d.Result
	}
}

func (d *DependsExpr) join(sep string, inner ...DependsOp) string {
	parts := make([]string, len(d.Sub))
	for i, sub := range d.Sub {
		parts[i] = sub.in(inner...)
	}
	return strings.Join(parts, sep)
}

// in is the text, in parentheses if the operator is one of ops.
func (d *DependsExpr) in(ops ...DependsOp) string {
	if slices.Contains(ops, d.Op) {
		return "(" + d.String() + ")"
	}
	return d.String()
}

// dependsParser is a recursive descent over the text.
type dependsParser struct {
	text string
	pos  int
}

func (p *dependsParser) or(depth int) (*DependsExpr, error) {
	return p.chain(depth, DependsOr, "||", p.and)
}

func (p *dependsParser) and(depth int) (*DependsExpr, error) {
	return p.chain(depth, DependsAnd, "&&", p.not)
}

// chain reads operands of one level, joined by an operator.
func (p *dependsParser) chain(depth int, op DependsOp, sign string, operand func(int) (*DependsExpr, error)) (*DependsExpr, error) {
	first, err := operand(depth)
	if err != nil {
		return nil, err
	}
	all := &DependsExpr{Op: op, Sub: []*DependsExpr{first}, Offset: first.Offset}
	for p.sign(sign) {
		next, err := operand(depth)
		if err != nil {
			return nil, err
		}
		all.Sub = append(all.Sub, next)
	}
	if len(all.Sub) == 1 {
		return first, nil
	}
	return all, nil
}

func (p *dependsParser) not(depth int) (*DependsExpr, error) {
	p.space()
	if depth > MaxNesting {
		return nil, limitError(p.pos, "depends is nested deeper than %d", MaxNesting)
	}
	start := p.pos
	switch {
	case p.sign("!"):
		sub, err := p.not(depth + 1)
		if err != nil {
			return nil, err
		}
		return &DependsExpr{Op: DependsNot, Sub: []*DependsExpr{sub}, Offset: start}, nil
	case p.sign("("):
		sub, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.sign(")") {
			return nil, p.unexpected("&&, || or )")
		}
		return sub, nil
	default:
		return p.atom()
	}
}

func (p *dependsParser) atom() (*DependsExpr, error) {
	start := p.pos
	task := p.word(isTaskChar)
	if task == "" || task[0] == '-' {
		p.pos = start
		return nil, p.unexpected("a task")
	}
	e := &DependsExpr{Task: task, Offset: start}
	if p.pos >= len(p.text) || p.text[p.pos] != '.' {
		return e, nil
	}
	p.pos++
	at := p.pos
	e.Result = p.word(isTaskChar)
	if slices.Contains(DependsResults(), e.Result) {
		return e, nil
	}
	msg := "task result '" + e.Result + "' for task '" + task + "' is invalid"
	if near := Nearest(e.Result, DependsResults()); near != "" {
		msg += "; did you mean " + near + "?"
	} else {
		msg += "; it can be " + strings.Join(DependsResults(), ", ")
	}
	return nil, &Error{Offset: at, Msg: msg}
}

func isTaskChar(c byte) bool {
	return c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'z'
}

// word takes the longest run of characters.
func (p *dependsParser) word(is func(byte) bool) string {
	start := p.pos
	for p.pos < len(p.text) && is(p.text[p.pos]) {
		p.pos++
	}
	return p.text[start:p.pos]
}

// sign takes an operator, if it is next.
func (p *dependsParser) sign(s string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.pos:], s) {
		return false
	}
	p.pos += len(s)
	return true
}

func (p *dependsParser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// unexpected describes what stands at the position.
func (p *dependsParser) unexpected(want string) *Error {
	p.space()
	if p.pos >= len(p.text) {
		return errorAt(p.pos, "unexpected end of depends: expected %s", want)
	}
	rest := p.text[p.pos:]
	for i := range rest {
		if i > 0 {
			rest = rest[:i]
			break
		}
	}
	return errorAt(p.pos, "unexpected %q in depends: expected %s", rest, want)
}
