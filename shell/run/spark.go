package run

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/shell/exit"
)

const (
	pluginSpark = "spark"
	sparkHome   = "SPARK_HOME"
	sparkSubmit = "spark-submit"
)

// sparkEnv are the variables that spark-submit, and what it starts, take notice of.
var sparkEnv = [...]string{
	sparkHome, "SPARK_CONF_DIR", "SPARK_LOCAL_DIRS", "SPARK_LOCAL_IP", "JAVA_HOME", "HADOOP_HOME", "HADOOP_CONF_DIR", "HADOOP_USER_NAME",
	"PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON", "PYTHONPATH",
}

// asksForSpark reports whether stages of a plan are Spark applications. What is wrong with it the master says.
func asksForSpark(name, text string) bool {
	d, _ := plan.Parse(name, []byte(text))
	if d == nil {
		return false
	}
	for _, plugin := range d.Plugins() {
		if plugin == pluginSpark {
			return true
		}
	}
	return false
}

// localSpark is how Spark applications run on this machine: by a spark-submit that is installed here.
func localSpark(getenv func(string) string, lookPath func(string) (string, error)) (master.SparkConfig, error) {
	var c master.SparkConfig
	program := sparkSubmit
	if home := getenv(sparkHome); home != "" {
		program = filepath.Join(home, "bin", sparkSubmit)
	}
	path, err := lookPath(program)
	if err != nil {
		return c, noSpark(getenv(sparkHome), program)
	}
	if path, err = filepath.Abs(path); err != nil {
		return c, err
	}
	c.Mode, c.Submit, c.Env = "local", path, map[string]string{}
	for _, name := range sparkEnv {
		if value := getenv(name); value != "" {
			c.Env[name] = value
		}
	}
	return c, nil
}

func noSpark(home, program string) error {
	missing := "there is no spark-submit in the PATH, and SPARK_HOME is not set"
	if home != "" {
		missing = fmt.Sprintf("SPARK_HOME is %s, and there is no program %s", home, program)
	}
	return exit.With(exit.Config, errors.New("the plan has Spark applications, which need Spark on this machine: "+missing),
		"install Spark (pip install pyspark, or unpack it and set SPARK_HOME), or submit the plan to a master that has spark.mode in its configuration")
}

// dataDirs are where the executors of a private master keep their attempts.
func dataDirs(dir string) []string {
	return slices.DeleteFunc([]string{dir, filepath.Join(dir, pluginSpark)}, func(d string) bool {
		_, err := os.Stat(d)
		return err != nil
	})
}

// spark is the configuration for the Spark applications of a plan, if it has any.
func (o *RunOptions) spark(name, text string) (master.SparkConfig, error) {
	if !asksForSpark(name, text) {
		return master.SparkConfig{}, nil
	}
	return localSpark(os.Getenv, exec.LookPath)
}
