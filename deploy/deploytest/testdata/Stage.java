import fdu.daslab.thrift.base.ServiceBaseResult;
import fdu.daslab.thrift.master.SchedulerService;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.thrift.TException;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TMultiplexedProtocol;
import org.apache.thrift.transport.TSocket;

/**
 * A stage program of the old system, in what the master sees of it: it takes the options of one, refuses others, and makes each
 * call on a connection of its own. Its DAG file names the calls (S started, P data prepared, C completed) and an output path, to
 * which it writes its stage id.
 */
public final class Stage {
  private interface Call {
    ServiceBaseResult make(SchedulerService.Client client) throws TException;
  }

  private final Map<String, String> options = new HashMap<>();

  private Stage(String[] args) {
    for (String arg : args) {
      Matcher m = Pattern.compile("--(stageId|masterHost|masterPort|dagPath|udfPath)=(.*)").matcher(arg);
      if (!m.matches()) {
        throw new IllegalArgumentException("unknown option " + arg);
      }
      options.put(m.group(1), m.group(2));
    }
  }

  public static void main(String[] args) throws Exception {
    new Stage(args).run();
  }

  private void run() throws Exception {
    String dag = new String(Files.readAllBytes(Paths.get(options.get("dagPath"))), StandardCharsets.UTF_8);
    String id = options.get("stageId");
    for (char call : parameter(dag, "calls").toCharArray()) {
      switch (call) {
        case 'S':
          post("started", c -> c.postStageStarted(id, Collections.singletonMap("java", System.getProperty("java.version"))));
          break;
        case 'P':
          Files.write(new File(parameter(dag, "outputPath")).toPath(), (id + "\n").getBytes(StandardCharsets.UTF_8));
          post("prepared", c -> c.postDataPrepared(id));
          break;
        case 'C':
          post("completed", c -> c.postStageCompleted(id, null));
          break;
        default:
          throw new IllegalArgumentException("unknown call " + call);
      }
    }
  }

  private void post(String what, Call call) throws TException {
    try (TSocket socket = new TSocket(options.get("masterHost"), Integer.parseInt(options.get("masterPort")))) {
      socket.open();
      TMultiplexedProtocol protocol = new TMultiplexedProtocol(new TBinaryProtocol(socket), "SchedulerService");
      System.out.println(what + ": " + call.make(new SchedulerService.Client(protocol)));
    }
  }

  /** A parameter of the DAG file, which is JSON. */
  private static String parameter(String dag, String name) {
    Matcher m = Pattern.compile("\"" + name + "\": ?\"([^\"]*)\"").matcher(dag);
    if (!m.find()) {
      throw new IllegalArgumentException("the DAG file has no " + name);
    }
    return m.group(1);
  }
}
