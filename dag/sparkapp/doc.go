// Package sparkapp describes a Spark application as a plan does: what to run, with what configuration and with how much of
// everything. It knows Spark's own rules for sizes and configuration keys, so that a plan is refused with a place and a reason before
// anything of it runs.
//
// In a plan it is the template's plugin:
//
//	plugin:
//	  spark:
//	    mainClass: org.example.Sum
//	    mainApplicationFile: hdfs://data/jobs/sum.jar
//	    arguments: ["--day", "{{inputs.parameters.day}}"]
//	    conf: {spark.sql.shuffle.partitions: 200}
//	    driver: {cores: 1, memory: 1g}
//	    executor: {instances: 4, cores: 2, memory: 4g}
//
// Where the application runs (a cluster, a standalone master, this machine) is not part of it: the master's configuration decides.
package sparkapp
