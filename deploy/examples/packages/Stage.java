import fdu.daslab.thrift.base.ServiceBaseResult;
import fdu.daslab.thrift.master.SchedulerService;
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
 * What stage programs as CLIC's Java images have them have in common: they take the same options, refuse others, and tell the
 * master how far they are, each time on a connection of its own.
 */
final class Stage {
  private interface Call {
    ServiceBaseResult make(SchedulerService.Client client, String stageId) throws TException;
  }

  private final Map<String, String> options = new HashMap<>();

  Stage(String[] args) {
    for (String arg : args) {
      Matcher m = Pattern.compile("--(stageId|masterHost|masterPort|dagPath|udfPath)=(.*)").matcher(arg);
      if (!m.matches()) {
        throw new IllegalArgumentException("unknown option " + arg);
      }
      options.put(m.group(1), m.group(2));
    }
  }

  void started() throws TException {
    Map<String, String> about = Collections.singletonMap("java", System.getProperty("java.version"));
    post("started", (client, id) -> client.postStageStarted(id, about));
  }

  void prepared() throws TException {
    post("prepared", (client, id) -> client.postDataPrepared(id));
  }

  void completed() throws TException {
    post("completed", (client, id) -> client.postStageCompleted(id, null));
  }

  private void post(String what, Call call) throws TException {
    try (TSocket socket = new TSocket(options.get("masterHost"), Integer.parseInt(options.get("masterPort")))) {
      socket.open();
      TMultiplexedProtocol protocol = new TMultiplexedProtocol(new TBinaryProtocol(socket), "SchedulerService");
      System.out.println(what + ": " + call.make(new SchedulerService.Client(protocol), options.get("stageId")).resultCode);
    }
  }
}
