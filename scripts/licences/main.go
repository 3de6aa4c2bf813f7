// Command licences checks that everything which is compiled into the project's programs and tests has a licence that the project
// accepts.
//
//	go run ./scripts/licences [-tags TAGS] PACKAGES...
//
// It prints the modules with their licences, and exits with 1 where one is not accepted, 2 where the check could not be done.
// The licence of a package is the text in the nearest folder, from its own up to its module's root, that holds one.
//
// The developer tools (scripts/tools) are not looked at: they are run, never distributed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
)

// accepted lists the licences that may be in the project: permissive ones, and MPL-2.0, whose copyleft ends at its own files.
var accepted = []string{"Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MPL-2.0"}

// errRefused says that some licence is not accepted; the problems were printed.
var errRefused = errors.New("not every licence is accepted")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "licences: %v\n", err)
	if errors.Is(err, errRefused) {
		os.Exit(1)
	}
	os.Exit(2)
}

// run does the whole check; problems go to stderr, the table of modules to stdout.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("licences", flag.ContinueOnError)
	flags.SetOutput(stderr)
	tags := flags.String("tags", "", "build tags, separated by commas")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("no packages named (./... for all)")
	}
	packages, err := dependencies(ctx, *tags, flags.Args())
	if err != nil {
		return err
	}
	found, problems := survey(packages)
	for _, entry := range found {
		if _, err := fmt.Fprintf(stdout, "%-60s %-24s %s\n", entry.module, entry.version, strings.Join(entry.licences, ", ")); err != nil {
			return err
		}
	}
	for _, problem := range problems {
		fmt.Fprintln(stderr, problem)
	}
	if len(problems) > 0 {
		return errRefused
	}
	return nil
}

// An entry is what the table says of one module.
type entry struct {
	module, version string
	licences        []string
}

// survey finds the licences of all packages, sorted by module, and says what is not accepted, once per module and reason.
func survey(packages []dependency) ([]entry, []string) {
	byModule := map[string]*entry{}
	var problems []string
	for _, dep := range packages {
		ent := byModule[dep.Module]
		if ent == nil {
			ent = &entry{module: dep.Module, version: dep.Version}
			byModule[dep.Module] = ent
		}
		file, licences, err := licencesOf(dep.Dir, dep.Root)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s %s: %v", dep.Module, dep.Version, err))
			continue
		}
		for _, licence := range licences {
			if !slices.Contains(accepted, licence) {
				problems = append(problems, fmt.Sprintf("%s %s: %s is not accepted (%s)", dep.Module, dep.Version, licence, file))
			}
		}
		ent.licences = append(ent.licences, licences...)
	}

	entries := make([]entry, 0, len(byModule))
	for _, ent := range byModule {
		slices.Sort(ent.licences)
		ent.licences = slices.Compact(ent.licences)
		entries = append(entries, *ent)
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.module, b.module) })
	slices.Sort(problems)
	return entries, slices.Compact(problems)
}
