package sparkapp

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Submit is what a command line of spark-submit says.
type Submit struct {
	App App
	// Master and DeployMode are what the line says of where to run; "" is nothing.
	Master, DeployMode string
}

// ErrNotSubmit marks a command line that is none of spark-submit.
var ErrNotSubmit = errors.New("not a spark-submit command")

// ParseSubmit reads the words of a spark-submit command line, the program's name first. It gives ErrNotSubmit for another program,
// and else an error that names the option which cannot be taken over.
func ParseSubmit(argv []string) (Submit, error) {
	var s Submit
	if len(argv) == 0 || path.Base(argv[0]) != "spark-submit" {
		return s, ErrNotSubmit
	}
	p := &submitParser{submit: &s, argv: argv[1:]}
	for len(p.argv) > 0 && strings.HasPrefix(p.argv[0], "-") {
		if err := p.option(); err != nil {
			return s, fmt.Errorf("spark-submit: %w", err)
		}
	}
	if len(p.argv) == 0 {
		return s, errors.New("spark-submit: it names no application file")
	}
	s.App.File, s.App.Arguments = p.argv[0], append([]string(nil), p.argv[1:]...)
	if s.App.Python() || s.App.R() {
		s.App.MainClass = "" // spark-submit ignores it as well
	}
	return s, nil
}

type submitParser struct {
	submit *Submit
	argv   []string
}

// option takes one option off the line.
func (p *submitParser) option() error {
	name := p.argv[0]
	p.argv = p.argv[1:]
	value, joined := "", false
	if strings.HasPrefix(name, "--") {
		name, value, joined = strings.Cut(name, "=")
	}
	if name == "--verbose" || name == "-v" {
		return nil
	}
	set, ok := p.options()[name]
	if !ok {
		return fmt.Errorf("the option %q cannot be taken over; use Spark's configuration (--conf)", name)
	}
	if !joined {
		if len(p.argv) == 0 {
			return fmt.Errorf("the option %q has no value", name)
		}
		value, p.argv = p.argv[0], p.argv[1:]
	}
	if err := set(value); err != nil {
		return fmt.Errorf("the option %q: %w", name, err)
	}
	return nil
}

func (p *submitParser) options() map[string]func(string) error {
	a := &p.submit.App
	text := func(to *string) func(string) error {
		return func(v string) error { *to = v; return nil }
	}
	list := func(to *[]string) func(string) error {
		return func(v string) error {
			*to = nil
			for _, one := range strings.Split(v, ",") {
				if one = strings.TrimSpace(one); one != "" {
					*to = append(*to, one)
				}
			}
			return nil
		}
	}
	size := func(to *MiB) func(string) error {
		return func(v string) (err error) { *to, err = ParseMiB(v); return err }
	}
	count := func(to *int) func(string) error {
		return func(v string) error {
			n, err := strconv.ParseInt(v, 10, 32)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is no number above 0", v)
			}
			*to = int(n)
			return nil
		}
	}
	conf := func(key string) func(string) error {
		return func(v string) error { a.setConf(key, v); return nil }
	}
	pair := func(v string) error {
		key, value, ok := strings.Cut(v, "=")
		if !ok {
			return fmt.Errorf("%q is not key=value", v)
		}
		switch key {
		case "spark.master":
			p.submit.Master = value
		case "spark.submit.deployMode":
			p.submit.DeployMode = value
		case "spark.app.name":
			a.Name = value
		default:
			a.setConf(key, value)
		}
		return nil
	}
	return map[string]func(string) error{
		"--class": text(&a.MainClass), "--name": text(&a.Name), "--master": text(&p.submit.Master), "--deploy-mode": text(&p.submit.DeployMode),
		"--conf": pair, "-c": pair,
		"--jars": list(&a.Jars), "--py-files": list(&a.PyFiles), "--files": list(&a.Files), "--archives": list(&a.Archives),
		"--packages": list(&a.Packages), "--exclude-packages": list(&a.ExcludePackages), "--repositories": list(&a.Repositories),
		"--driver-memory": size(&a.Driver.Memory), "--driver-cores": count(&a.Driver.Cores),
		"--executor-memory": size(&a.Executor.Memory), "--executor-cores": count(&a.Executor.Cores), "--num-executors": count(&a.Executor.Instances),
		"--driver-java-options": conf("spark.driver.extraJavaOptions"), "--driver-library-path": conf("spark.driver.extraLibraryPath"),
		"--driver-class-path": conf("spark.driver.extraClassPath"), "--total-executor-cores": conf("spark.cores.max"),
		"--principal": conf("spark.kerberos.principal"), "--keytab": conf("spark.kerberos.keytab"), "--queue": conf("spark.yarn.queue"),
	}
}

func (a *App) setConf(key, value string) {
	if a.Conf == nil {
		a.Conf = map[string]string{}
	}
	a.Conf[key] = value
}
