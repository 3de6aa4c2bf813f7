package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	os.Exit(status)
}

// run makes the image that the arguments tell and gives the exit status: 0 made, 1 not, 64 wrong usage.
func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) int {
	i, file, err := parse(ctx, args, getenv, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		// The flag package has told what is wrong already.
		return 64
	}
	if err := i.writeFile(file); err != nil {
		_, _ = fmt.Fprintln(stderr, "images:", err)
		return 1
	}
	return 0
}

// errUsage is the reason of arguments that are each right but make no image together.
var errUsage = errors.New("wrong usage")

// parse makes an image of the arguments; the files named are only looked at.
func parse(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) (*image, string, error) {
	i := &image{layers: []tree{{}}, architecture: runtime.GOARCH, created: time.Unix(0, 0)}
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("o", "", "write the archive to this `FILE`")
	flags.StringVar(&i.architecture, "arch", i.architecture, "the programs' `ARCHITECTURE`")
	contentFlags(ctx, flags, i)
	configFlags(flags, i)
	if err := flags.Parse(args); err != nil {
		return nil, "", err
	}
	err := checkArguments(flags, *file, i)
	if err == nil {
		err = i.setTime(getenv("SOURCE_DATE_EPOCH"))
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "images:", err)
		return nil, "", err
	}
	return i, *file, nil
}

func checkArguments(flags *flag.FlagSet, file string, i *image) error {
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	case file == "":
		return fmt.Errorf("%w: -o is missing", errUsage)
	case len(i.tags) == 0:
		return fmt.Errorf("%w: -tag is missing", errUsage)
	}
	return nil
}

// setTime sets the time of the image and all its files, told in seconds since 1970; "" leaves that at 1970 itself.
func (i *image) setTime(seconds string) error {
	if seconds == "" {
		return nil
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: SOURCE_DATE_EPOCH: %w", errUsage, err)
	}
	i.created = time.Unix(n, 0)
	return nil
}

// contentFlags defines the options that put something into the top layer.
func contentFlags(ctx context.Context, flags *flag.FlagSet, i *image) {
	top := func() tree { return i.layers[len(i.layers)-1] }
	flags.BoolFunc("layer", "begin a new layer over those so far", func(string) error {
		i.layers = append(i.layers, tree{})
		return nil
	})
	flags.Func("file", "`SOURCE:PATH[:MODE]`: a file", func(arg string) error {
		words, err := fields(arg, 2, 3)
		if err != nil {
			return err
		}
		mode, err := parseMode(words[2])
		if err != nil {
			return err
		}
		return top().putFile(words[0], words[1], mode)
	})
	flags.Func("tree", "`SOURCE:PATH`: a directory with all below it", func(arg string) error {
		words, err := fields(arg, 2, 2)
		if err != nil {
			return err
		}
		return top().putTree(words[0], words[1])
	})
	flags.Func("program", "`SOURCE[:PATH]`: a program and the libraries that ldd names (PATH is SOURCE unless told)",
		func(arg string) error {
			words, err := fields(arg, 1, 2)
			if err != nil {
				return err
			}
			return top().putProgram(ctx, words[0], words[1])
		})
	flags.Func("dir", "`PATH[:MODE[:UID[:GID]]]`: a directory", func(arg string) error {
		return top().putDirectory(arg)
	})
	flags.Func("link", "`TARGET:PATH`: a symbolic link", func(arg string) error {
		words, err := fields(arg, 2, 2)
		if err != nil {
			return err
		}
		return top().put(words[1], entry{mode: 0o777, link: words[0]})
	})
	flags.Func("text", "`PATH=TEXT`: a small file; \\n in TEXT is a line's end", func(arg string) error {
		name, text, found := strings.Cut(arg, "=")
		if !found {
			return errors.New("want PATH=TEXT")
		}
		return top().put(name, entry{mode: 0o644, text: []byte(strings.ReplaceAll(text, `\n`, "\n"))})
	})
}

// putDirectory sets an empty directory, told as PATH[:MODE[:UID[:GID]]].
func (t tree) putDirectory(arg string) error {
	words, err := fields(arg, 1, 4)
	if err != nil {
		return err
	}
	e := entry{mode: 0o755, dir: true}
	if words[1] != "" {
		if e.mode, err = parseMode(words[1]); err != nil {
			return err
		}
	}
	for n, id := range []*int{&e.uid, &e.gid} {
		if word := words[2+n]; word != "" {
			if *id, err = strconv.Atoi(word); err != nil {
				return err
			}
		}
	}
	return t.put(words[0], e)
}

// configFlags defines the options that say how the image runs.
func configFlags(flags *flag.FlagSet, i *image) {
	add := func(list *[]string) func(string) error {
		return func(arg string) error {
			*list = append(*list, arg)
			return nil
		}
	}
	flags.Func("tag", "a name of the image, as `NAME:TAG`; once or more", func(arg string) error {
		if colon := strings.LastIndexByte(arg, ':'); colon <= strings.LastIndexByte(arg, '/') {
			return errors.New("want NAME:TAG")
		}
		return add(&i.tags)(arg)
	})
	flags.Func("entrypoint", "a `WORD` of the command that arguments are added to; once for each word", add(&i.config.Entrypoint))
	flags.Func("cmd", "a `WORD` of the arguments, or of the command if there is no entrypoint", add(&i.config.Cmd))
	flags.StringVar(&i.config.User, "user", "", "who runs it, as `UID[:GID]` or names")
	flags.Func("workdir", "where it runs, an absolute `PATH`", func(arg string) error {
		if !path.IsAbs(arg) {
			return errPath
		}
		i.config.WorkingDir = arg
		return nil
	})
	flags.Func("env", "an environment variable, `NAME=VALUE`", func(arg string) error {
		if !strings.Contains(arg, "=") {
			return errors.New("want NAME=VALUE")
		}
		return add(&i.config.Env)(arg)
	})
	flags.Func("label", "a label, `NAME=VALUE`", func(arg string) error {
		name, value, found := strings.Cut(arg, "=")
		if !found {
			return errors.New("want NAME=VALUE")
		}
		if i.config.Labels == nil {
			i.config.Labels = map[string]string{}
		}
		i.config.Labels[name] = value
		return nil
	})
	flags.Func("port", "a `PORT` that it listens at over TCP", func(arg string) error {
		if _, err := strconv.ParseUint(arg, 10, 16); err != nil {
			return err
		}
		if i.config.ExposedPorts == nil {
			i.config.ExposedPorts = map[string]struct{}{}
		}
		i.config.ExposedPorts[arg+"/tcp"] = struct{}{}
		return nil
	})
}

// fields splits at colons into at least least and exactly most words; those that are missing are "".
func fields(arg string, least, most int) ([]string, error) {
	words := strings.Split(arg, ":")
	if len(words) < least || len(words) > most || words[0] == "" {
		return nil, fmt.Errorf("want %d to %d words with colons between them", least, most)
	}
	return append(words, make([]string, most-len(words))...), nil
}

// parseMode reads an octal mode as chmod takes it; "" is 0.
func parseMode(word string) (fs.FileMode, error) {
	if word == "" {
		return 0, nil
	}
	bits, err := strconv.ParseUint(word, 8, 12)
	if err != nil {
		return 0, err
	}
	mode := fs.FileMode(bits) & fs.ModePerm
	for bit, special := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if bits&bit != 0 {
			mode |= special
		}
	}
	return mode, nil
}
