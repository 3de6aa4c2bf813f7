// Package expr is everything in Argo's language that is an expression: {{tags}} and {{=expressions}}, the conditions of
// `when` and `depends`, the boolean expressions of retries and hooks, and the items of loops.
//
// The meaning is that of Argo Workflows 3.7, observable texts included, with these differences, all on purpose:
//
//   - Everything is bounded: length, nesting, steps and memory of an evaluation, sizes of results (see the Max constants).
//     What goes beyond is an error, whatever a plan holds; nothing panics, nothing hangs.
//   - Evaluation is deterministic, because a plan is evaluated once and replayed later. Functions that read the clock, the
//     environment, the network or random numbers are refused by name; maps are walked in the order of their keys.
//   - A string with a {{ that is never closed is an error. Argo, which substitutes in the JSON of a whole template, pairs it
//     with whatever }} comes later in the document.
//   - A negative count of withSequence is an error; Argo counts down. A backslash at the end of a `when` is one, too; Argo
//     crashes.
//   - Times without a zone are UTC, whatever the machine's zone is.
//   - Control characters pass through a {{tag}}; Argo stops at them, because its escaping is not JSON's.
//
// The package is pure: it does no input or output, keeps no state between calls, and its functions are safe for concurrent
// use.
package expr
