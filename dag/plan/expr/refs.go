package expr

import (
	"github.com/expr-lang/expr/ast"
)

// chain is a use of a variable: its name in segments.
type chain struct {
	path   []string
	offset int
}

// refWalker collects the variables of an expression.
type refWalker struct {
	src    string
	locals []string // names declared with let
	refs   []chain
}

// collectRefs lists the chains in the order of the text.
func collectRefs(root ast.Node, src string) []chain {
	w := &refWalker{src: src}
	w.visit(root)
	return w.refs
}

func (w *refWalker) visit(node ast.Node) {
	switch n := node.(type) {
	case *ast.IdentifierNode, *ast.MemberNode:
		w.member(n, 0)
	case *ast.CallNode:
		w.member(n.Callee, 1) // the last name is that of a function or a method
		w.all(n.Arguments)
	case *ast.VariableDeclaratorNode:
		w.visit(n.Value)
		w.locals = append(w.locals, n.Name)
		w.visit(n.Expr)
		w.locals = w.locals[:len(w.locals)-1]
	default:
		w.all(childNodes(node))
	}
}

// childNodes lists the nodes directly below a node.
func childNodes(node ast.Node) []ast.Node {
	switch n := node.(type) {
	case *ast.ChainNode:
		return []ast.Node{n.Node}
	case *ast.MemberNode:
		return []ast.Node{n.Node, n.Property}
	case *ast.UnaryNode:
		return []ast.Node{n.Node}
	case *ast.BinaryNode:
		return []ast.Node{n.Left, n.Right}
	case *ast.SliceNode:
		return []ast.Node{n.Node, n.From, n.To}
	case *ast.CallNode:
		return append([]ast.Node{n.Callee}, n.Arguments...)
	case *ast.BuiltinNode:
		return n.Arguments
	case *ast.PredicateNode:
		return []ast.Node{n.Node}
	case *ast.VariableDeclaratorNode:
		return []ast.Node{n.Value, n.Expr}
	case *ast.SequenceNode:
		return n.Nodes
	case *ast.ConditionalNode:
		return []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.ArrayNode:
		return n.Nodes
	case *ast.MapNode:
		return n.Pairs
	case *ast.PairNode:
		return []ast.Node{n.Key, n.Value}
	}
	return nil // a leaf, or the missing end of a slice
}

func (w *refWalker) all(nodes []ast.Node) {
	for _, n := range nodes {
		w.visit(n)
	}
}

// member handles a.b['c'].d: it takes the names from the root on as far as they are constant, without the last few.
func (w *refWalker) member(node ast.Node, dropLast int) {
	var reversed []string
	for {
		switch n := node.(type) {
		case *ast.ChainNode:
			node = n.Node
			continue
		case *ast.MemberNode:
			if name, ok := n.Property.(*ast.StringNode); ok {
				reversed = append(reversed, name.Value)
			} else {
				reversed, dropLast = nil, 0 // what comes after an index belongs to a value
				w.visit(n.Property)
			}
			node = n.Node
			continue
		case *ast.IdentifierNode:
			w.add(n, reversed, dropLast)
		default:
			w.visit(node)
		}
		return
	}
}

func (w *refWalker) add(root *ast.IdentifierNode, reversed []string, dropLast int) {
	if isOurFunction(root.Value) || root.Value == "$env" {
		return
	}
	for _, l := range w.locals {
		if l == root.Value {
			return
		}
	}
	path := []string{root.Value}
	for i := len(reversed) - 1; i >= 0; i-- {
		path = append(path, reversed[i])
	}
	if len(path) <= dropLast {
		return
	}
	w.refs = append(w.refs, chain{path: path[:len(path)-dropLast], offset: byteOffset(w.src, root.Location().From)})
}
