import java.io.OutputStreamWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.zip.GZIPOutputStream;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;

/** A Java stage of the CLIC form: what each package has installed, as packed CSV in HDFS, in parts of so many packages. */
public final class Contents {
  private static final int PART = 100;

  private Contents() {}

  public static void main(String[] args) throws Exception {
    Stage stage = new Stage(args);
    stage.started();
    List<java.nio.file.Path> lists = new ArrayList<>();
    try (var all = java.nio.file.Files.newDirectoryStream(Paths.get(System.getenv("DPKG"), "info"), "*.list")) {
      all.forEach(lists::add);
    }
    Collections.sort(lists);
    Path to = new Path(System.getenv("CLIC_OUTPUT"));
    FileSystem files = to.getFileSystem(new Configuration());
    for (int part = 0; part * PART < lists.size(); part++) {
      try (Writer w = writer(files, new Path(to, String.format("part-%05d.csv.gz", part)))) {
        for (java.nio.file.Path list : lists.subList(part * PART, Math.min(lists.size(), (part + 1) * PART))) {
          String name = list.getFileName().toString().replaceFirst("(:\\w+)?\\.list$", "");
          for (String file : java.nio.file.Files.readAllLines(list)) {
            w.write(name + "," + file + "\n");
          }
        }
      }
    }
    System.out.println(lists.size() + " packages");
    stage.completed();
  }

  private static Writer writer(FileSystem files, Path path) throws java.io.IOException {
    return new OutputStreamWriter(new GZIPOutputStream(files.create(path)), StandardCharsets.UTF_8);
  }
}
