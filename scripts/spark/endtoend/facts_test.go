//go:build spark

package endtoend

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pkg is an installed package, as dpkg's status file has it.
type pkg struct {
	name, section, domain string
	kilobytes             int64
	depends               []string
}

// sectionRow, rankingRow and domainRow are the rows of the results of the stages of the same names.
type sectionRow struct {
	Section                    string
	Packages, Files, Kilobytes int64
}

type rankingRow struct {
	Package, Section      string
	Kilobytes, Dependants int64
}

type domainRow struct {
	domain   string
	packages int
}

// facts are what the stages of the example have to find out, computed by other means from the same files.
type facts struct {
	packages []string // the lines of the CSV, without the header
	contents []string
	sections []sectionRow
	ranking  []rankingRow
	domains  []domainRow
}

func (f *facts) report() []string {
	lines := []string{"section,packages,files,kilobytes"}
	for _, r := range f.sections[:min(10, len(f.sections))] {
		lines = append(lines, fmt.Sprintf("%s,%d,%d,%d", r.Section, r.Packages, r.Files, r.Kilobytes))
	}
	lines = append(lines, "package,section,kilobytes,dependants")
	for _, r := range f.ranking[:min(10, len(f.ranking))] {
		lines = append(lines, fmt.Sprintf("%s,%s,%d,%d", r.Package, r.Section, r.Kilobytes, r.Dependants))
	}
	return append(lines, f.domainLines()[:min(11, len(f.domains)+1)]...)
}

func (f *facts) domainLines() []string {
	lines := []string{"domain,packages"}
	for _, r := range f.domains {
		lines = append(lines, fmt.Sprintf("%s,%d", r.domain, r.packages))
	}
	return lines
}

// learn computes them from dpkg's directory.
func learn(t *testing.T, dpkg string) *facts {
	t.Helper()
	f := &facts{}
	all := readStatus(t, filepath.Join(dpkg, "status"))
	for _, p := range all {
		f.packages = append(f.packages, fmt.Sprintf("%s,%s,%d,%s,%s", p.name, p.section, p.kilobytes, p.domain, strings.Join(p.depends, " ")))
	}
	files := map[string]int64{}
	lists, err := filepath.Glob(filepath.Join(dpkg, "info", "*.list"))
	must(t, err)
	slices.Sort(lists)
	for _, list := range lists {
		name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(list), ".list"), ":")
		text, err := os.ReadFile(list)
		must(t, err)
		for line := range strings.Lines(string(text)) {
			f.contents = append(f.contents, name+","+strings.TrimSuffix(line, "\n"))
			files[name]++
		}
	}
	f.sections, f.ranking, f.domains = sections(all, files), ranking(all), domains(all)
	return f
}

var domainOf = regexp.MustCompile(`@([^>\s]+)>`)

func readStatus(t *testing.T, file string) []pkg {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	var all []pkg
	for paragraph := range strings.SplitSeq(string(text), "\n\n") {
		p := pkg{section: "none", domain: "none"}
		installed := false
		for line := range strings.Lines(paragraph) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch key {
			case "Package":
				p.name = value
			case "Status":
				installed = strings.HasSuffix(value, " installed")
			case "Section":
				p.section = value
			case "Installed-Size":
				p.kilobytes, err = strconv.ParseInt(value, 10, 64)
				must(t, err)
			case "Maintainer":
				if m := domainOf.FindStringSubmatch(value); m != nil {
					p.domain = strings.ToLower(m[1])
				}
			case "Depends":
				p.depends = dependencies(value)
			}
		}
		if installed {
			all = append(all, p)
		}
	}
	return all
}

// dependencies are the names in the field Depends, each once.
func dependencies(field string) []string {
	names := map[string]bool{}
	for alternative := range strings.FieldsFuncSeq(field, func(r rune) bool { return r == ',' || r == '|' }) {
		name, _, _ := strings.Cut(strings.TrimSpace(alternative), " ")
		name, _, _ = strings.Cut(name, ":")
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func sections(all []pkg, files map[string]int64) []sectionRow {
	rows, names := map[string]*sectionRow{}, map[string]map[string]bool{}
	for _, p := range all {
		if files[p.name] == 0 {
			continue
		}
		r := rows[p.section]
		if r == nil {
			r = &sectionRow{Section: p.section}
			rows[p.section], names[p.section] = r, map[string]bool{}
		}
		names[p.section][p.name] = true
		r.Packages = int64(len(names[p.section]))
		r.Files += files[p.name]
		r.Kilobytes += p.kilobytes
	}
	var sorted []sectionRow
	for _, r := range rows {
		sorted = append(sorted, *r)
	}
	slices.SortFunc(sorted, func(a, b sectionRow) int {
		return cmp.Or(cmp.Compare(b.Kilobytes, a.Kilobytes), cmp.Compare(a.Section, b.Section))
	})
	return sorted
}

func ranking(all []pkg) []rankingRow {
	by := map[string]map[string]bool{}
	for _, p := range all {
		for _, d := range p.depends {
			if by[d] == nil {
				by[d] = map[string]bool{}
			}
			by[d][p.name] = true
		}
	}
	rows := map[rankingRow]bool{}
	for _, p := range all {
		if n := len(by[p.name]); n > 0 {
			rows[rankingRow{p.name, p.section, p.kilobytes, int64(n)}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(rows), func(a, b rankingRow) int {
		return cmp.Or(cmp.Compare(b.Dependants, a.Dependants), cmp.Compare(a.Package, b.Package), cmp.Compare(a.Kilobytes, b.Kilobytes))
	})
}

func domains(all []pkg) []domainRow {
	names := map[string]map[string]bool{}
	for _, p := range all {
		if names[p.domain] == nil {
			names[p.domain] = map[string]bool{}
		}
		names[p.domain][p.name] = true
	}
	var rows []domainRow
	for d, n := range names {
		rows = append(rows, domainRow{d, len(n)})
	}
	slices.SortFunc(rows, func(a, b domainRow) int {
		return cmp.Or(cmp.Compare(b.packages, a.packages), cmp.Compare(a.domain, b.domain))
	})
	return rows
}
