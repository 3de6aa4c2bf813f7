// Package spark holds no code: its tests show that applications run on the real Spark, in every mode of executors/spark. Those with
// the build tag "spark" need the standalone master of scripts/spark.sh, those with "sparkcluster" the cluster of scripts/cluster.sh
// with the Spark image in it. scripts/spark-test.sh runs both.
package spark
