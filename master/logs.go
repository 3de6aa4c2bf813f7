package master

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
	"github.com/clic-orchestrator/clic/master/logstore"
)

// logDir is where an executor is to keep the logs of its pods, and the setting that says so.
type logDir struct{ executor, key, dir string }

// logDirs are those of all executors that stages may run on.
func (c Config) logDirs() (all []logDir) {
	for _, name := range c.usedExecutors() {
		k, ok := c.podsOf(name)
		if !ok || k.LogDir == "" {
			continue
		}
		of := name
		if name == executorSpark {
			of = c.Spark.Cluster
		}
		key := executorKube
		if cluster, named := strings.CutPrefix(of, executorKube+"/"); named {
			key += ".clusters." + cluster
		}
		all = append(all, logDir{name, key + ".log-dir", k.LogDir})
	}
	return all
}

// joinDir is a directory in a directory of this machine, or below a URI.
func joinDir(dir, name string) string {
	if isURI(dir) {
		return strings.TrimRight(dir, "/") + "/" + name
	}
	return filepath.Join(dir, name)
}

// openLogs makes the archives of logs that are in a file system of others. Each writes from a directory of its own in the data directory.
func (m *Master) openLogs() error {
	m.logs = map[string]*logstore.Store{}
	for _, d := range m.cfg.logDirs() {
		if !isURI(d.dir) {
			continue
		}
		fsys, root, err := m.files.resolve(d.dir)
		if err != nil {
			return fmt.Errorf("cannot use %s: %w", d.key, err)
		}
		m.logs[d.executor], err = logstore.New(logstore.Config{
			FS: fsys, Root: root, Spool: filepath.Join(m.cfg.DataDir, "logs", "spool", filepath.FromSlash(d.executor)),
			Logger: m.log.With("executor", d.executor),
		})
		if err != nil {
			return fmt.Errorf("cannot use %s: %w", d.key, err)
		}
	}
	return nil
}

// archiveOf is the archive of an executor's logs; nil where it keeps them on this machine, or nowhere.
func (m *Master) archiveOf(executor string) kubeconf.LogArchive {
	if s := m.logs[executor]; s != nil {
		return s
	}
	return nil
}

func (m *Master) startLogs() {
	for _, name := range slices.Sorted(maps.Keys(m.logs)) {
		m.logs[name].Start()
	}
}

func (m *Master) closeLogs() error {
	var errs []error
	for _, s := range m.logs {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
