import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.parquet.example.data.Group;
import org.apache.parquet.hadoop.ParquetReader;
import org.apache.parquet.hadoop.example.GroupReadSupport;

/** A Java stage of the CLIC form: the first lines of what the other stages have found, in one text. */
public final class Report {
  private static final int LINES = 10;
  private final Configuration configuration = new Configuration();
  private final Path from = new Path(System.getenv("INPUT"));
  private final FileSystem files = from.getFileSystem(configuration);

  private Report() throws java.io.IOException {}

  public static void main(String[] args) throws Exception {
    Stage stage = new Stage(args);
    stage.started();
    new Report().write(new Path(System.getenv("CLIC_OUTPUT")));
    stage.completed();
  }

  private void write(Path to) throws Exception {
    try (PrintStream out = new PrintStream(files.create(to), false, StandardCharsets.UTF_8)) {
      out.println("section,packages,files,kilobytes");
      parquet(out, "sections", "section", "packages", "files", "kilobytes");
      out.println("package,section,kilobytes,dependants");
      parquet(out, "ranking", "package", "section", "kilobytes", "dependants");
      csv(out, "domains");
    }
  }

  /** The parts of an output, without what begins with an underscore or a dot. */
  private FileStatus[] parts(String output) throws java.io.IOException {
    return files.listStatus(new Path(from, output), p -> p.getName().startsWith("part-"));
  }

  private void parquet(PrintStream out, String output, String... columns) throws java.io.IOException {
    for (FileStatus part : parts(output)) {
      try (ParquetReader<Group> rows =
          ParquetReader.builder(new GroupReadSupport(), part.getPath()).withConf(configuration).build()) {
        Group row = rows.read();
        for (int n = 0; row != null && n < LINES; row = rows.read(), n++) {
          StringBuilder line = new StringBuilder();
          for (String column : columns) {
            line.append(line.length() == 0 ? "" : ",").append(row.getValueToString(row.getType().getFieldIndex(column), 0));
          }
          out.println(line);
        }
      }
    }
  }

  private void csv(PrintStream out, String output) throws java.io.IOException {
    for (FileStatus part : parts(output)) {
      try (BufferedReader lines =
          new BufferedReader(new InputStreamReader(files.open(part.getPath()), StandardCharsets.UTF_8))) {
        lines.lines().limit(LINES + 1).forEach(out::println);
      }
    }
  }
}
