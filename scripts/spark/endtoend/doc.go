// Package endtoend holds no code: its tests (build tag "spark") show that a whole master, the shell, the real Spark and the real HDFS do what
// people want of them together: the plan deploy/examples/packages.yaml, on the packages of the machine that the tests run on, and what
// becomes of applications whose master is killed. scripts/spark-test.sh process runs them.
package endtoend
