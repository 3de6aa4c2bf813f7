import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.count;
import static org.apache.spark.sql.functions.countDistinct;
import static org.apache.spark.sql.functions.sum;

import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;

/** A Spark application for the JVM: packages, files and size of each section, from the lists of packages and of files, to Parquet. */
public final class Sections {
  private Sections() {}

  public static void main(String[] args) {
    SparkSession spark = SparkSession.builder().getOrCreate();
    Dataset<Row> packages = spark.read().option("header", "true").csv(args[0]);
    Dataset<Row> files = spark.read().schema("package STRING, file STRING").csv(args[1]);
    files
        .groupBy("package")
        .agg(count("*").as("files"))
        .join(packages, "package")
        .groupBy("section")
        .agg(
            countDistinct("package").as("packages"),
            sum("files").as("files"),
            sum(col("kilobytes").cast("long")).as("kilobytes"))
        .repartition(1)
        .sortWithinPartitions(col("kilobytes").desc(), col("section"))
        .write()
        .parquet(args[2]);
    spark.stop();
  }
}
