"""A Spark application in Python: how many packages depend on each package, joined with what that one is, to Parquet."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as f


def main(source, target):
    spark = SparkSession.builder.getOrCreate()
    packages = spark.read.option("header", "true").csv(source)
    wanted = packages.select(f.explode(f.split("depends", " ")).alias("wanted"), f.col("package").alias("by"))
    wanted = wanted.groupBy("wanted").agg(f.countDistinct("by").alias("dependants"))
    (
        packages.join(wanted, packages.package == wanted.wanted)
        .select("package", "section", f.col("kilobytes").cast("long").alias("kilobytes"), "dependants")
        .distinct()
        .repartition(1)
        .sortWithinPartitions(f.desc("dependants"), "package", "kilobytes")
        .write.option("compression", "zstd")
        .parquet(target)
    )
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
