package expr_test

import (
	"errors"
	"fmt"

	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

func ExampleSubstitute() {
	scope := expr.MapScope{"inputs.parameters.n": "4", "steps.list.outputs.result": `["a","b"]`}
	text, err := expr.Substitute("{{inputs.parameters.n}} * 2 = {{=asInt(inputs.parameters.n) * 2}}, {{=jsonpath(steps.list.outputs.result, '$[1]')}}",
		scope, expr.Options{})
	fmt.Println(text, err)

	_, err = expr.Substitute("{{inputs.parameters.m}}", scope, expr.Options{})
	var unresolved *expr.UnresolvedError
	if errors.As(err, &unresolved) {
		fmt.Printf("%v; did you mean %s?\n", err, unresolved.Nearest)
	}
	// Output:
	// 4 * 2 = 8, b <nil>
	// failed to resolve {{inputs.parameters.m}}; did you mean inputs.parameters.n?
}

func ExampleTemplate_Refs() {
	t, err := expr.ParseTemplate("cp {{inputs.parameters.from}} {{=inputs.parameters['to'] + '.bak'}}")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range t.Refs() {
		fmt.Println(r.Offset, r.Name, r.Expr)
	}
	// Output:
	// 3 inputs.parameters.from false
	// 33 inputs.parameters.to true
}

func ExampleEvalWhen() {
	fmt.Println(expr.EvalWhen("Succeeded == Succeeded && 3 > 2"))
	fmt.Println(expr.EvalWhen("foo bar =="))
	// Output:
	// true <nil>
	// false Invalid 'when' expression 'foo bar ==': Cannot transition token types from VARIABLE [foo] to VARIABLE [bar]
}

func ExampleEvalBool() {
	scope := expr.MapScope{"lastRetry.exitCode": "137", "lastRetry.status": "Failed"}
	fmt.Println(expr.EvalBool("asInt(lastRetry.exitCode) in [137, 143]", scope))
	// Output: true <nil>
}

func ExampleParseDepends() {
	d, err := expr.ParseDepends("build && (test.Succeeded || test.Skipped) && !lint.Failed")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d)
	fmt.Println(d.Tasks())
	_, err = expr.ParseDepends("build.Succeedd")
	fmt.Println(err)
	// Output:
	// build && (test.Succeeded || test.Skipped) && !lint.Failed
	// [build test lint]
	// task result 'Succeedd' for task 'build' is invalid; did you mean Succeeded?
}

func ExampleParseItems() {
	items, err := expr.ParseItems(`["x", {"name":"n","size":2}, [1,2]]`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, item := range items {
		fmt.Println("step"+item.Name(i), item.Value())
	}
	// Output:
	// step(0:x) x
	// step(1:name:n,size:2) {"name":"n","size":2}
	// step(2:[1 2]) [1,2]
}

func ExampleSequence() {
	items, err := expr.Sequence("3", "1", "", "n%02d", 0)
	fmt.Println(items, err)
	// Output: [n03 n02 n01] <nil>
}
