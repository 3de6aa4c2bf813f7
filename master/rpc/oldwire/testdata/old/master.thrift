// The old system's services, as its clients were generated from them. Nothing is ever added here.

include "base.thrift"

namespace java fdu.daslab.thrift.master
namespace py fdu.daslab.thrift.master

service SchedulerService {
  base.ServiceBaseResult postStageStarted(1: string stageId, 2: map<string, string> submitMsg),
  base.ServiceBaseResult postDataPrepared(1: string stageId),
  base.ServiceBaseResult postStageCompleted(1: string stageId, 2: map<string, string> submitMsg)
}

service TaskService {
  void submitPlan(1: string planName, 2: string planDagPath),
  list<map<string, string>> listAllTask(),
  map<string, string> getTaskInfo(1: string planName),
  map<string, string> getStageInfo(1: string stageId),
  list<string> getStageIdOfTask(1: string planName),
  bool suspendStage(1: string stageId),
  bool continueStage(1: string stageId),
  string getStageResult(1: string stageId)
}
