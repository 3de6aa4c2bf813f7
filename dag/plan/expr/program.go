package expr

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// program is a compiled expression. It is compiled twice: once the way Argo does, for the same complaints about types and
// names, and once with meters around everything that can take long or grow, which is what runs.
type program struct {
	err   error // the complaint, if any
	code  *vm.Program
	calls []string // the metered functions that the code calls
}

// eval evaluates in a scope. ran says of an error that the expression was in order, and failed on its values.
func (e *Expression) eval(sc Scope, opt Options) (v any, ran bool, err error) {
	if sc == nil {
		sc = MapScope(nil)
	}
	env := e.environment(sc)
	p := e.compiled(env)
	if p.err != nil {
		return nil, false, wrapError("", p.err) // a new one: callers move its place
	}
	m := newMeter(opt.maxSteps())
	for _, name := range p.calls {
		env[name] = m.function(name, opt)
	}
	machine := vm.VM{}
	v, err = guard(func() (any, error) { return machine.Run(p.code, env) })
	if err != nil {
		return nil, true, runError(err, e.src)
	}
	return v, true, nil
}

// runError words a failed run like Argo, except where a bound is the reason.
func runError(err error, src string) error {
	failed := languageError(err, src)
	var bound *Error
	switch {
	case errors.As(errors.Unwrap(err), &bound) && errors.Is(bound, ErrLimit):
		failed.Msg = bound.Msg
	case strings.HasPrefix(failed.Msg, "memory budget exceeded"):
		failed.Msg, failed.Err = "evaluation makes more than 1000000 elements", ErrLimit
	}
	return failed
}

// compiled gives the program for the kinds of the variables' roots in env, from the cache if it can.
func (e *Expression) compiled(env map[string]any) *program {
	var key strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		key.WriteString(name)
		if _, ok := env[name].(string); ok {
			key.WriteByte('\x01')
		} else {
			key.WriteByte('\x02')
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.programs[key.String()]
	if p == nil {
		p = compileProgram(e.src, env)
		e.programs[key.String()] = p
	}
	return p
}

// compileProgram compiles for an environment, of which only the kinds matter.
func compileProgram(src string, sample map[string]any) *program {
	tree, err := parseTree(src)
	if err != nil {
		return &program{err: err}
	}
	if checkCost(tree.Node) <= maxCheckCost {
		if err := checkTypes(tree, sample); err != nil {
			return &program{err: languageError(err, src)}
		}
	}
	if tree, err = parseTree(src); err != nil { // checking has left its marks on the first
		return &program{err: err}
	}
	meters := &meterer{calls: map[string]bool{}}
	ast.Walk(&tree.Node, meters)
	env := maps.Clone(sample)
	for name := range meters.calls {
		env[name] = func(...any) any { return nil }
	}
	config := newConfig(env)
	code, err := guard(func() (*vm.Program, error) {
		if _, err := checker.Check(tree, config); err != nil {
			return nil, err
		}
		return compiler.Compile(tree, config)
	})
	if err != nil {
		return &program{err: languageError(err, src)}
	}
	return &program{code: code, calls: slices.Sorted(maps.Keys(meters.calls))}
}

// newConfig is the library's configuration. Nothing is optimised: folding constants happens without a budget.
func newConfig(env map[string]any) *conf.Config {
	config := conf.CreateNew()
	config.MaxNodes = MaxNodes
	config.Optimize = false
	config.WithEnv(env)
	return config
}

// checkTypes finds unknown names and operands that do not match.
func checkTypes(tree *parser.Tree, sample map[string]any) error {
	env := maps.Clone(sample)
	env["asInt"] = func(any) any { return nil }
	env["asFloat"] = func(any) any { return nil }
	env["jsonpath"] = func(_, _ string) any { return nil }
	env["toJson"] = func(any) string { return "" }
	env["sprig"] = map[string]any{}
	_, err := guard(func() (struct{}, error) {
		_, err := checker.Check(tree, newConfig(env))
		return struct{}{}, err
	})
	return err
}

// maxCheckCost is the number of visits up to which types are checked. The library checks the arguments of a function once for
// each of its signatures, and so on for calls in them: fourteen trims in each other take 2^14 visits. Beyond it a mistake in
// types shows only when the expression runs.
const maxCheckCost = 100_000

// checkCost estimates the visits from above.
func checkCost(node ast.Node) int {
	c := &costWalker{costs: map[ast.Node]int{}}
	ast.Walk(&node, c)
	return c.costs[node]
}

// costWalker adds up the costs of children, which it visits first.
type costWalker struct{ costs map[ast.Node]int }

// Visit implements ast.Visitor.
func (c *costWalker) Visit(node *ast.Node) {
	sum, signatures := 1, 1
	for _, child := range childNodes(*node) {
		sum = min(maxCheckCost+1, sum+c.costs[child])
	}
	if n, ok := (*node).(*ast.BuiltinNode); ok {
		if i, ok := builtin.Index[n.Name]; ok {
			signatures = max(1, len(builtin.Builtins[i].Types))
		}
	}
	c.costs[*node] = min(maxCheckCost+1, sum*signatures)
}

// isOurFunction says whether a root is one of Argo's functions, not a variable.
func isOurFunction(name string) bool {
	switch name {
	case "asInt", "asFloat", "jsonpath", "toJson", "sprig":
		return true
	}
	return false
}

// meterer replaces calls and operators by calls of metered functions. Their names cannot be written in an expression.
type meterer struct{ calls map[string]bool }

// call replaces a node.
func (v *meterer) call(node *ast.Node, name string, args ...ast.Node) {
	v.calls[name] = true
	callee := &ast.IdentifierNode{Value: name}
	callee.SetLocation((*node).Location())
	ast.Patch(node, &ast.CallNode{Callee: callee, Arguments: args})
}

// wrap puts a function around a node, unless the node is a literal.
func (v *meterer) wrap(node *ast.Node, name string) {
	if *node == nil {
		return
	}
	switch (*node).(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode:
		return
	}
	v.call(node, name, *node)
}

// Visit implements ast.Visitor; children come before their parents.
func (v *meterer) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		v.call(&n.Node, callTick, n.Node)
	case *ast.BuiltinNode:
		if isPredicate(n.Name) {
			v.wrap(&n.Arguments[0], callList)
			return
		}
		v.call(node, prefixBuiltin+n.Name, n.Arguments...)
	case *ast.BinaryNode:
		v.binary(node, n)
	case *ast.MemberNode:
		v.wrap(&n.Property, callWeigh)
	case *ast.PairNode:
		v.wrap(&n.Key, callWeigh)
	case *ast.SliceNode:
		v.wrap(&n.Node, callWeigh)
	case *ast.CallNode:
		v.function(node, n)
	}
}

func (v *meterer) binary(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "+":
		v.call(node, callAdd, n.Left, n.Right)
	case "matches":
		v.call(node, callMatches, n.Left, n.Right)
	case "==", "!=", "<", ">", "<=", ">=", "in", "contains", "startsWith", "endsWith":
		v.wrap(&n.Left, callWeigh)
		v.wrap(&n.Right, callWeigh)
	}
}

func (v *meterer) function(node *ast.Node, n *ast.CallNode) {
	switch callee := n.Callee.(type) {
	case *ast.IdentifierNode:
		if isOurFunction(callee.Value) {
			v.call(node, prefixFunction+callee.Value, n.Arguments...)
		}
		return // or one that was put here for another node
	case *ast.MemberNode:
		if name, ok := sprigName(callee); ok {
			v.call(node, prefixSprig+name, n.Arguments...)
			return
		}
	}
	for i := range n.Arguments {
		v.wrap(&n.Arguments[i], callWeigh)
	}
}

// sprigName is f in sprig.f.
func sprigName(n *ast.MemberNode) (string, bool) {
	root, ok := n.Node.(*ast.IdentifierNode)
	if !ok || root.Value != "sprig" {
		return "", false
	}
	name, ok := n.Property.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return name.Value, true
}

// checkFunctions refuses what must not be used, while the place is known: functions without a fixed result, functions that
// are not called, patterns that are too large.
func checkFunctions(tree *parser.Tree, src string) error {
	c := &functionChecker{src: src, callees: map[ast.Node]bool{}}
	ast.Walk(&tree.Node, c)
	for _, root := range c.roots {
		if c.err == nil && !c.callees[root] {
			c.at, c.err = root.Location(), errors.New(root.Value+" is a function: it can only be called")
		}
	}
	if c.err == nil {
		return nil
	}
	place := &file.Error{Location: c.at, Message: c.err.Error(), Prev: c.err}
	return languageError(place.Bind(tree.Source), src)
}

type functionChecker struct {
	src string
	// roots are the uses of functions' names, and callees those that are called: a callee is visited before its call.
	roots   []*ast.IdentifierNode
	callees map[ast.Node]bool
	err     error
	at      file.Location
}

// Visit implements ast.Visitor.
func (c *functionChecker) Visit(node *ast.Node) {
	if c.err != nil {
		return
	}
	c.at = (*node).Location()
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		switch {
		case n.Value == "$env":
			c.err = errors.New("$env is not supported: name the variables")
		case isOurFunction(n.Value):
			c.roots = append(c.roots, n)
		}
	case *ast.BuiltinNode:
		if n.Name == "now" {
			c.err = refusal("now", "it reads the clock")
		}
	case *ast.BinaryNode:
		if pattern, ok := n.Right.(*ast.StringNode); ok && n.Operator == "matches" {
			if _, err := compilePattern(pattern.Value); errors.Is(err, ErrLimit) {
				c.err = err
			}
		}
	case *ast.CallNode:
		c.call(n)
	}
}

func (c *functionChecker) call(n *ast.CallNode) {
	switch callee := n.Callee.(type) {
	case *ast.IdentifierNode:
		c.callees[callee] = true
	case *ast.MemberNode:
		if name, ok := sprigName(callee); ok {
			c.callees[callee.Node] = true
			c.err = checkSprig(name)
			return
		}
		if name, ok := callee.Property.(*ast.StringNode); ok && name.Value == "Local" {
			c.err = refusal("Local", "it depends on the machine's time zone")
		}
	}
}
