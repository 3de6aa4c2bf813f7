package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// unknown is the licence of a text that classify does not recognise.
const unknown = "unknown licence"

// licenceFile matches the usual names of files with licence texts: LICENSE, LICENCE.md, LICENSE-MIT, COPYING, …
var licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)([-_.].*)?$`)

// errNoLicence says that no folder from a package up to its module's root has a licence file.
var errNoLicence = errors.New("no licence file")

// licencesOf finds the licences of the package in dir, whose module is in root: those of all licence files in the nearest
// folder that has one. It also gives a file that they were read from.
func licencesOf(dir, root string) (string, []string, error) {
	for {
		file, licences, err := licencesIn(dir)
		if err != nil || len(licences) > 0 {
			return file, licences, err
		}
		parent := filepath.Dir(dir)
		if dir == root || parent == dir {
			return "", nil, fmt.Errorf("%w in %s", errNoLicence, root)
		}
		dir = parent
	}
}

// licencesIn classifies the licence files of one folder. Where one text is known, the others may be unknown (a notice, a
// licence of the documentation): they then count for nothing.
func licencesIn(dir string) (string, []string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", nil, fmt.Errorf("cannot look for licences: %w", err)
	}
	var file string
	var licences []string
	for _, entry := range entries {
		if entry.IsDir() || !licenceFile.MatchString(entry.Name()) || strings.HasSuffix(entry.Name(), ".go") {
			continue
		}
		file = filepath.Join(dir, entry.Name())
		text, err := os.ReadFile(file)
		if err != nil {
			return "", nil, fmt.Errorf("cannot read a licence: %w", err)
		}
		licences = append(licences, classify(string(text))...)
	}
	slices.Sort(licences)
	licences = slices.Compact(licences)
	if len(licences) > 1 {
		licences = slices.DeleteFunc(licences, func(licence string) bool { return licence == unknown })
	}
	return file, licences, nil
}

// A signature is a licence's name (an SPDX identifier where there is one) and words that its text contains, all of them, and
// none of not. Words are compared as [plain] gives them.
type signature struct {
	licence string
	words   []string
	not     []string
}

const (
	bsdGrant = "redistribution and use in source and binary forms with or without modification are permitted"
	bsdName  = "endorse or promote products derived from this software without"
	bsdAds   = "all advertising materials mentioning features"
)

// signatures lists the accepted licences and those that are met now and then and must be told apart from them. Titles of the
// GPL family carry their dates: other licences mention those names in passing.
var signatures = []signature{
	{licence: "Apache-2.0", words: []string{"apache license version 2 0 january 2004"}},
	{licence: "Apache-2.0", words: []string{"licensed under the apache license version 2 0"}},
	{licence: "MPL-2.0", words: []string{"mozilla public license version 2 0 1 definitions"}},
	{
		licence: "MIT",
		words: []string{
			"permission is hereby granted free of charge to any person obtaining a copy",
			"notice and this permission notice", "shall be included in all copies or substantial portions",
		},
	},
	{
		licence: "ISC",
		words: []string{
			"permission to use copy modify and or distribute this software for any purpose with or without fee is hereby granted",
			"notice and this permission notice appear in all copies",
		},
	},
	{
		licence: "ISC",
		words: []string{
			"permission to use copy modify and distribute this software for any purpose with or without fee is hereby granted",
			"notice and this permission notice appear in all copies",
		},
	},
	{licence: "BSD-4-Clause", words: []string{bsdGrant, bsdAds}},
	{licence: "BSD-3-Clause", words: []string{bsdGrant, bsdName}, not: []string{bsdAds}},
	{licence: "BSD-2-Clause", words: []string{bsdGrant}, not: []string{bsdName, bsdAds}},

	{licence: "GPL-2.0", words: []string{"gnu general public license version 2 june 1991"}},
	{licence: "GPL-3.0", words: []string{"gnu general public license version 3 29 june 2007"}, not: []string{"gnu lesser general public license version 3 29"}},
	{licence: "LGPL-2.1", words: []string{"gnu lesser general public license version 2 1 february 1999"}},
	{licence: "LGPL-3.0", words: []string{"gnu lesser general public license version 3 29 june 2007"}},
	{licence: "AGPL-3.0", words: []string{"gnu affero general public license version 3 19 november 2007"}},
	{licence: "SSPL-1.0", words: []string{"server side public license"}},
	{licence: "BUSL-1.1", words: []string{"business source license 1 1"}},
	{licence: "EPL", words: []string{"eclipse public license v"}},
	{licence: "CDDL", words: []string{"common development and distribution license"}},
	{licence: "Unlicense", words: []string{"this is free and unencumbered software released into the public domain"}},
	{licence: "CC0-1.0", words: []string{"cc0 1 0 universal"}},
}

// classify names every licence whose words a text has, or [unknown].
func classify(text string) []string {
	text = plain(text)
	var licences []string
	for _, sig := range signatures {
		if sig.matches(text) && !slices.Contains(licences, sig.licence) {
			licences = append(licences, sig.licence)
		}
	}
	if len(licences) == 0 {
		return []string{unknown}
	}
	return licences
}

func (sig signature) matches(text string) bool {
	for _, words := range sig.words {
		if !strings.Contains(text, words) {
			return false
		}
	}
	return !slices.ContainsFunc(sig.not, func(words string) bool { return strings.Contains(text, words) })
}

// plain reduces a text to its lower-case words with one space between them, so that line ends, comment marks, quotes and lists
// make no difference.
func plain(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.Join(words, " ")
}
