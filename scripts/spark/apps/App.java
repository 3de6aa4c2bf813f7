package demo;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SaveMode;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.functions;

/**
 * What the tests ask of a JVM application:
 *
 * <pre>
 * pi TASKS                 prints an estimate of pi
 * stages JOBS TASKS MS     so many jobs of so many tasks, each of which takes so long
 * sum FROM TO              adds the column v of CSV files up by the column k, into Parquet
 * fail | exit N | halt N   ends badly: an exception, an exit status with and without the JVM's own end
 * failtask                 a task that throws
 * oom                      asks for more heap than there is
 * </pre>
 */
public final class App {
  private App() {}

  public static void main(String[] args) throws Exception {
    String what = args.length > 0 ? args[0] : "pi";
    SparkSession spark = SparkSession.builder().getOrCreate();
    JavaSparkContext context = JavaSparkContext.fromSparkContext(spark.sparkContext());
    System.out.println("application " + context.sc().applicationId());
    switch (what) {
      case "pi" -> pi(context, number(args, 1, 2));
      case "stages" -> stages(context, number(args, 1, 2), number(args, 2, 2), number(args, 3, 100));
      case "sum" -> sum(spark, args[1], args[2]);
      case "fail" -> throw new IllegalStateException("asked to fail");
      case "exit" -> System.exit(number(args, 1, 3));
      case "halt" -> Runtime.getRuntime().halt(number(args, 1, 7));
      case "failtask" -> failTask(context);
      case "oom" -> oom();
      default -> throw new IllegalArgumentException("unknown: " + what);
    }
    spark.stop();
  }

  private static int number(String[] args, int at, int otherwise) {
    return args.length > at ? Integer.parseInt(args[at]) : otherwise;
  }

  private static List<Integer> upTo(int n) {
    List<Integer> all = new ArrayList<>();
    for (int i = 0; i < n; i++) {
      all.add(i);
    }
    return all;
  }

  private static void pi(JavaSparkContext context, int tasks) {
    int points = 100_000;
    long inside =
        context
            .parallelize(upTo(tasks), tasks)
            .map(
                seed -> {
                  java.util.Random random = new java.util.Random(seed);
                  long hits = 0;
                  for (int i = 0; i < points; i++) {
                    double x = random.nextDouble();
                    double y = random.nextDouble();
                    hits += x * x + y * y <= 1 ? 1 : 0;
                  }
                  return hits;
                })
            .reduce(Long::sum);
    System.out.println("pi is about " + 4.0 * inside / ((long) tasks * points));
  }

  private static void stages(JavaSparkContext context, int jobs, int tasks, int millis) {
    for (int job = 0; job < jobs; job++) {
      context
          .parallelize(upTo(tasks), tasks)
          .foreach(
              i -> {
                Thread.sleep(millis);
              });
      System.out.println("job " + (job + 1) + " of " + jobs);
    }
  }

  private static void sum(SparkSession spark, String from, String to) {
    spark
        .read()
        .option("header", "true")
        .option("inferSchema", "true")
        .csv(from)
        .groupBy("k")
        .agg(functions.sum("v").alias("v"), functions.count("*").alias("n"))
        .orderBy("k")
        .write()
        .mode(SaveMode.Overwrite)
        .parquet(to);
    System.out.println("wrote " + to);
  }

  private static void failTask(JavaSparkContext context) {
    context
        .parallelize(Collections.singletonList(1), 1)
        .foreach(
            i -> {
              throw new IllegalStateException("task asked to fail");
            });
  }

  private static void oom() {
    List<long[]> all = new ArrayList<>();
    while (true) {
      all.add(new long[1 << 20]);
    }
  }
}
