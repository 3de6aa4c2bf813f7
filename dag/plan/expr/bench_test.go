package expr

import (
	"strings"
	"testing"
)

func BenchmarkSubstituteLiteral(b *testing.B) {
	s, sc := strings.Repeat("no tags here ", 16), scope()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Substitute(s, sc, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseTemplate(b *testing.B) {
	s := strings.Repeat("cp {{inputs.parameters.m}} {{item}} and on; ", 5)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseTemplate(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExecute(b *testing.B) {
	for name, s := range map[string]string{
		"tags":       strings.Repeat("cp {{inputs.parameters.m}} {{item}} and on; ", 5),
		"expression": "{{=asInt(workflow.parameters.num) > 5 ? inputs.parameters.m : item}}",
	} {
		b.Run(name, func(b *testing.B) {
			sc := scope()
			t, err := ParseTemplate(s)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := t.Execute(sc, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEvalWhen(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EvalWhen("Succeeded == Succeeded && 3 > 2"); err != nil {
			b.Fatal(err)
		}
	}
}
