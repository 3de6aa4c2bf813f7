package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The words that licences are known by, with the line ends, quotes and comment marks of real files.
const (
	mit = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software […]
		The above copyright notice and this permission notice (including the next paragraph) shall be
		included in all copies or substantial portions of the Software.`
	isc = `Permission to use, copy, modify, and/or distribute this software for any
		purpose with or without fee is hereby granted, provided that the above
		copyright notice and this permission notice appear in all copies.`
	bsd2 = `// Redistribution and use in source and binary forms, with or without
		// modification, are permitted provided that the following conditions are met: […]`
	bsd3 = bsd2 + `
		// Neither the name of Nobody Inc. nor the names of its contributors may be used to
		// endorse or promote products derived from this software without specific permission.`
	bsd4   = bsd3 + ` All advertising materials mentioning features or use of this software must […]`
	apache = "                                 Apache License\n                           Version 2.0, January 2004\n"
	mpl    = "Mozilla Public License, version 2.0\n\n1. Definitions […] the GNU General Public License, Version 2.0 […]"
	gpl    = "GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007\n"
	lgpl   = "GNU LESSER GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007\n"
)

func TestClassify(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"MIT", mit, []string{"MIT"}},
		{"ISC", isc, []string{"ISC"}},
		{"BSD with two clauses", bsd2, []string{"BSD-2-Clause"}},
		{"BSD with three clauses", bsd3, []string{"BSD-3-Clause"}},
		{"BSD with four clauses", bsd4, []string{"BSD-4-Clause"}},
		{"Apache", apache, []string{"Apache-2.0"}},
		{"MPL names the GPL in passing", mpl, []string{"MPL-2.0"}},
		{"GPL", gpl, []string{"GPL-3.0"}},
		{"LGPL", lgpl, []string{"LGPL-3.0"}},
		{"two in one file", apache + mit, []string{"Apache-2.0", "MIT"}},
		{"none", "All rights reserved.", []string{unknown}},
		{"empty", "", []string{unknown}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, classify(test.text)); diff != "" {
				t.Errorf("licences (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSurvey(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good/LICENSE", mit)
	write("good/LICENSE.docs", "The pictures belong to somebody.")
	write("good/deep/deeper/code.go", "")
	write("good/copied/COPYING", bsd3)
	write("bad/LICENCE.txt", gpl)
	write("mixed/LICENSE", apache)
	write("mixed/inner/License.md", gpl)
	write("none/license.go", "package none")
	write("odd/LICENSE", "Be nice.")

	dep := func(module, dir string) dependency {
		return dependency{
			Module: "example.org/" + module, Version: "v1.0.0",
			Dir: filepath.Join(root, module, dir), Root: filepath.Join(root, module),
		}
	}
	entries, problems := survey([]dependency{
		dep("good", "deep/deeper"), dep("good", "copied"), dep("good", ""),
		dep("bad", ""), dep("mixed", ""), dep("mixed", "inner"), dep("none", ""), dep("odd", ""),
	})

	var table []string
	for _, ent := range entries {
		table = append(table, ent.module+": "+strings.Join(ent.licences, ", "))
	}
	wantTable := []string{
		"example.org/bad: GPL-3.0",
		"example.org/good: BSD-3-Clause, MIT",
		"example.org/mixed: Apache-2.0, GPL-3.0",
		"example.org/none: ",
		"example.org/odd: unknown licence",
	}
	if diff := cmp.Diff(wantTable, table); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	wantProblems := []string{
		"example.org/bad v1.0.0: GPL-3.0 is not accepted (ROOT/bad/LICENCE.txt)",
		"example.org/mixed v1.0.0: GPL-3.0 is not accepted (ROOT/mixed/inner/License.md)",
		"example.org/none v1.0.0: no licence file in ROOT/none",
		"example.org/odd v1.0.0: unknown licence is not accepted (ROOT/odd/LICENSE)",
	}
	for i, problem := range problems {
		problems[i] = strings.ReplaceAll(problem, root, "ROOT")
	}
	if diff := cmp.Diff(wantProblems, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestDecode(t *testing.T) {
	const stream = `
		{"Dir": "/go/src/fmt", "Standard": true}
		{"Dir": "/clic/dag", "Module": {"Path": "clic", "Main": true}}
		{"Dir": "/mod/a/x", "Module": {"Path": "a", "Version": "v1.2.3", "Dir": "/mod/a"}}
		{"Dir": "/mod/fork", "Module": {"Path": "b", "Version": "v1.0.0", "Dir": "/mod/fork",
			"Replace": {"Path": "fork", "Version": "v9.0.0", "Dir": "/mod/fork"}}}
		{"Dir": ""}`
	got, err := decode(strings.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	want := []dependency{
		{Dir: "/mod/a/x", Root: "/mod/a", Module: "a", Version: "v1.2.3"},
		{Dir: "/mod/fork", Root: "/mod/fork", Module: "fork", Version: "v9.0.0"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dependencies (-want +got):\n%s", diff)
	}
	if _, err := decode(strings.NewReader(`{"Dir": 1}`)); err == nil {
		t.Error("no error for something that go list does not print")
	}
}

// TestRun looks at this very program: its tests need go-cmp.
func TestRun(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"."}, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if want := "github.com/google/go-cmp"; !strings.Contains(stdout.String(), want) {
		t.Errorf("%s is not in the table:\n%s", want, stdout.String())
	}
	if err := run(t.Context(), nil, &stdout, &stderr); err == nil || errors.Is(err, errRefused) {
		t.Errorf("no packages named: got error %v, want one about the usage", err)
	}
}
