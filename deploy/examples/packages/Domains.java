import static org.apache.spark.sql.functions.col;

import java.util.Arrays;
import org.apache.spark.sql.SaveMode;
import org.apache.spark.sql.SparkSession;

/**
 * A Spark stage of the CLIC form: its command line calls spark-submit, and it tells the master itself how far it is. It writes
 * how many packages the people of each mail domain look after, as CSV.
 */
public final class Domains {
  private Domains() {}

  public static void main(String[] args) throws Exception {
    Stage stage = new Stage(Arrays.copyOfRange(args, 1, args.length));
    stage.started();
    SparkSession spark = SparkSession.builder().appName("domains").getOrCreate();
    spark.read().option("header", "true").csv(args[0]).createOrReplaceTempView("packages");
    spark
        .sql("SELECT domain, count(DISTINCT package) AS packages FROM packages GROUP BY domain")
        .repartition(1)
        .sortWithinPartitions(col("packages").desc(), col("domain"))
        .write()
        .mode(SaveMode.Overwrite)
        .option("header", "true")
        .csv(System.getenv("CLIC_OUTPUT"));
    stage.prepared();
    spark.stop();
    stage.completed();
  }
}
