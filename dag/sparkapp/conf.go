package sparkapp

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// conf reads a map of Spark's configuration.
func (d *decoder) conf(to *map[string]string) field {
	return func(raw json.RawMessage, at []Step) {
		var values map[string]json.RawMessage
		if json.Unmarshal(raw, &values) != nil {
			d.add(at, "type", "this must be a map of Spark's configuration", "")
			return
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			here := under(at, key)
			s, known := d.scalar(values[key], here, "a text")
			if *to == nil {
				*to = map[string]string{}
			}
			(*to)[key] = s
			if d.open != nil && d.open(key) {
				continue
			}
			if rule, message, hint := checkKey(key); message != "" {
				d.add(here, rule, message, hint)
			} else if message, hint := checkValue(key, s); known && message != "" {
				d.add(here, "conf", message, hint)
			}
		}
	}
}

// owned are the keys that say where and as what an application runs. Whoever runs it sets them.
func owned() map[string]string {
	const where = "the master's configuration decides where and how applications run"
	const who = "it is made of the stage's attempt, so that a launch can be repeated"
	return map[string]string{
		"spark.master": where, "spark.submit.deployMode": where, "spark.kubernetes.submitInDriver": where,
		"spark.app.id": who, "spark.kubernetes.driver.pod.name": who, "spark.kubernetes.executor.podNamePrefix": who,
		"spark.kubernetes.submission.waitAppCompletion": where, "spark.kubernetes.namespace": "use the task's option namespace",
		"spark.driver.host": where, "spark.driver.bindAddress": where,
	}
}

// OwnPrefix begins the keys under which an application is told what it runs as.
const OwnPrefix = "spark.clic."

// fieldOf are the keys that fields stand for.
func fieldOf() map[string]string {
	return map[string]string{
		"spark.app.name": "name", "spark.jars": "jars", "spark.submit.pyFiles": "pyFiles", "spark.files": "files",
		"spark.archives": "archives", "spark.jars.packages": "packages", "spark.jars.excludes": "excludePackages",
		"spark.jars.repositories": "repositories",
		"spark.driver.cores":      "driver.cores", "spark.driver.memory": "driver.memory", "spark.driver.memoryOverhead": "driver.overhead",
		"spark.kubernetes.driver.request.cores": "driver.coreRequest", "spark.kubernetes.driver.limit.cores": "driver.coreLimit",
		"spark.executor.cores": "executor.cores", "spark.executor.memory": "executor.memory",
		"spark.executor.memoryOverhead": "executor.overhead", "spark.executor.instances": "executor.instances",
		"spark.kubernetes.executor.request.cores": "executor.coreRequest", "spark.kubernetes.executor.limit.cores": "executor.coreLimit",
		"spark.dynamicAllocation.enabled":                         "dynamicAllocation.enabled",
		"spark.dynamicAllocation.initialExecutors":                "dynamicAllocation.initial",
		"spark.dynamicAllocation.minExecutors":                    "dynamicAllocation.min",
		"spark.dynamicAllocation.maxExecutors":                    "dynamicAllocation.max",
		"spark.kubernetes.container.image":                        "image",
		"spark.kubernetes.container.image.pullPolicy":             "pullPolicy",
		"spark.kubernetes.authenticate.driver.serviceAccountName": "serviceAccount",
	}
}

// checkKey says what is wrong with a key of Spark's configuration.
func checkKey(key string) (rule, message, hint string) {
	if why, ours := owned()[key]; ours {
		return "conf", key + " cannot be set here", why
	}
	switch {
	case strings.HasPrefix(key, OwnPrefix):
		return "conf", key + " cannot be set here", "keys with " + OwnPrefix + " belong to clic"
	case strings.TrimSpace(key) != key || strings.ContainsAny(key, "=\n\x00"):
		return "conf", strconv.Quote(key) + " is no key of Spark's configuration", ""
	case strings.HasPrefix(key, "hadoop.") || strings.HasPrefix(key, "fs.") || strings.HasPrefix(key, "dfs."):
		return "conf", "Spark ignores keys without its prefix", "write spark.hadoop." + strings.TrimPrefix(key, "hadoop.")
	case !strings.HasPrefix(key, "spark.") || key == "spark.":
		return "conf", "Spark ignores keys without its prefix", "write spark." + key
	}
	return "", "", ""
}

// checkValue says what is wrong with a value, as far as that is known of the key.
func checkValue(key, value string) (message, hint string) {
	switch key {
	case "spark.driver.memory", "spark.executor.memory", "spark.driver.memoryOverhead", "spark.executor.memoryOverhead",
		"spark.executor.pyspark.memory", "spark.memory.offHeap.size", "spark.driver.maxResultSize":
		if _, err := ParseMiB(value); err != nil {
			return err.Error(), sizeHint(value)
		}
	case "spark.driver.cores", "spark.executor.cores", "spark.executor.instances", "spark.task.cpus", "spark.default.parallelism",
		"spark.sql.shuffle.partitions", "spark.cores.max", "spark.task.maxFailures":
		if n, err := strconv.ParseInt(value, 10, 32); err != nil || n < 0 {
			return "this must be a whole number, not " + strconv.Quote(value), ""
		}
	case "spark.dynamicAllocation.enabled", "spark.eventLog.enabled", "spark.speculation", "spark.shuffle.service.enabled":
		if value != "true" && value != "false" {
			return "this must be true or false, not " + strconv.Quote(value), ""
		}
	}
	return "", ""
}
