"""What the tests ask of a Python application: see App.java, whose words it takes."""

import os
import random
import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as f


def pi(context, tasks):
    points = 20000

    def inside(seed):
        rnd = random.Random(seed)
        return sum(rnd.random() ** 2 + rnd.random() ** 2 <= 1 for _ in range(points))

    hits = context.parallelize(range(tasks), tasks).map(inside).sum()
    print("pi is about", 4.0 * hits / (tasks * points))


def stages(context, jobs, tasks, millis):
    for job in range(jobs):
        context.parallelize(range(tasks), tasks).foreach(lambda _: time.sleep(millis / 1000))
        print("job", job + 1, "of", jobs)


def total(spark, source, target):
    table = spark.read.option("header", "true").option("inferSchema", "true").csv(source)
    table.groupBy("k").agg(f.sum("v").alias("v"), f.count("*").alias("n")).orderBy("k").write.mode("overwrite").parquet(target)
    print("wrote", target)


def fail(_):
    raise ValueError("task asked to fail")


def main(args):
    what = args[0] if args else "pi"
    spark = SparkSession.builder.getOrCreate()
    context = spark.sparkContext
    print("application", context.applicationId)
    numbers = [int(a) for a in args[1:] if a.isdigit()]
    if what == "pi":
        pi(context, *(numbers or [2]))
    elif what == "stages":
        stages(context, *numbers)
    elif what == "sum":
        total(spark, args[1], args[2])
    elif what == "fail":
        raise RuntimeError("asked to fail")
    elif what == "exit":
        sys.exit(numbers[0])
    elif what == "halt":
        os._exit(numbers[0])
    elif what == "failtask":
        context.parallelize([1], 1).foreach(fail)
    else:
        raise ValueError("unknown: " + what)
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
