import fdu.daslab.thrift.base.ServiceBaseResult;
import fdu.daslab.thrift.master.SchedulerService;
import fdu.daslab.thrift.master.TaskService;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.thrift.TApplicationException;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TMultiplexedProtocol;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.transport.TFramedTransport;
import org.apache.thrift.transport.TSocket;
import org.apache.thrift.transport.TTransport;

/**
 * A client of the old system: OldClient HOST PORT plain|framed. It reads calls from its standard input, one a line (method
 * and arguments, separated by tabs), makes each on a connection of its own, and prints the answer as a line of JSON.
 */
public final class OldClient {
  private final String host;
  private final int port;
  private final boolean framed;

  private OldClient(String host, int port, boolean framed) {
    this.host = host;
    this.port = port;
    this.framed = framed;
  }

  public static void main(String[] args) throws Exception {
    OldClient client = new OldClient(args[0], Integer.parseInt(args[1]), args[2].equals("framed"));
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, true, "UTF-8");
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      out.println(client.answer(line.split("\t", -1)));
    }
  }

  private String answer(String[] call) {
    try {
      return "{\"value\":" + json(call(call)) + "}";
    } catch (TApplicationException e) {
      return "{\"exception\":\"TApplicationException\",\"type\":" + e.getType() + ",\"message\":" + json(e.getMessage()) + "}";
    } catch (Exception e) {
      return "{\"exception\":" + json(e.getClass().getSimpleName()) + ",\"message\":" + json(e.getMessage()) + "}";
    }
  }

  private Object call(String[] c) throws Exception {
    TTransport transport = new TSocket(host, port);
    if (framed) {
      transport = new TFramedTransport(transport);
    }
    transport.open();
    try {
      TProtocol protocol = new TBinaryProtocol(transport);
      TaskService.Client tasks = new TaskService.Client(new TMultiplexedProtocol(protocol, "TaskService"));
      SchedulerService.Client scheduler = new SchedulerService.Client(new TMultiplexedProtocol(protocol, "SchedulerService"));
      switch (c[0]) {
        case "submitPlan":
          tasks.submitPlan(c[1], c[2]);
          return null;
        case "listAllTask":
          return tasks.listAllTask();
        case "getTaskInfo":
          return tasks.getTaskInfo(c[1]);
        case "getStageInfo":
          return tasks.getStageInfo(c[1]);
        case "getStageIdOfTask":
          return tasks.getStageIdOfTask(c[1]);
        case "suspendStage":
          return tasks.suspendStage(c[1]);
        case "continueStage":
          return tasks.continueStage(c[1]);
        case "getStageResult":
          return tasks.getStageResult(c[1]);
        case "postStageStarted":
          return scheduler.postStageStarted(c[1], message(c));
        case "postDataPrepared":
          return scheduler.postDataPrepared(c[1]);
        case "postStageCompleted":
          return scheduler.postStageCompleted(c[1], message(c));
        default:
          throw new IllegalArgumentException("no such call: " + c[0]);
      }
    } finally {
      transport.close();
    }
  }

  /** The submitMsg of a call: null unless it is given as key=value. */
  private static Map<String, String> message(String[] c) {
    if (c.length < 3) {
      return null;
    }
    Map<String, String> m = new HashMap<>();
    for (int i = 2; i < c.length; i++) {
      String[] kv = c[i].split("=", 2);
      m.put(kv[0], kv[1]);
    }
    return m;
  }

  private static String json(Object o) {
    if (o == null) {
      return "null";
    }
    StringBuilder b = new StringBuilder();
    if (o instanceof Boolean) {
      b.append(o);
    } else if (o instanceof ServiceBaseResult) {
      ServiceBaseResult r = (ServiceBaseResult) o;
      b.append("{\"resultCode\":").append(json(String.valueOf(r.getResultCode())));
      b.append(",\"message\":").append(json(r.getMessage())).append('}');
    } else if (o instanceof List) {
      String comma = "";
      b.append('[');
      for (Object e : (List<?>) o) {
        b.append(comma).append(json(e));
        comma = ",";
      }
      b.append(']');
    } else if (o instanceof Map) {
      String comma = "";
      b.append('{');
      for (Map.Entry<?, ?> e : ((Map<?, ?>) o).entrySet()) {
        b.append(comma).append(json(e.getKey())).append(':').append(json(e.getValue()));
        comma = ",";
      }
      b.append('}');
    } else {
      b.append('"');
      for (char ch : o.toString().toCharArray()) {
        if (ch == '"' || ch == '\\') {
          b.append('\\').append(ch);
        } else if (ch < 0x20 || ch > 0x7e) {
          b.append(String.format("\\u%04x", (int) ch));
        } else {
          b.append(ch);
        }
      }
      b.append('"');
    }
    return b.toString();
  }
}
