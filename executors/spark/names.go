package spark

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// digest is a part of a name that no other text gives.
func digest(text string, digits int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:digits]
}

// appID is the id that Spark knows the application of an attempt by on Kubernetes. It is deterministic, so that whoever comes later
// finds the executors of an attempt without having seen it begin.
func appID(attemptID string) string { return "spark-" + digest(attemptID, 32) }

// labelApp is the label of an application's pods that Spark selects them by.
const labelApp = "spark-app-selector"

// dnsName makes a DNS label of at most limit bytes: the text itself where it is one.
func dnsName(text string, limit int) string {
	kept := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, text), "-")
	if kept == text && len(text) <= limit && text != "" {
		return text
	}
	tail := digest(text, 10)
	if kept = strings.TrimRight(kept[:min(len(kept), limit-len(tail)-1)], "-"); kept == "" {
		return tail
	}
	return kept + "-" + tail
}

// driverName is the name of the driver's pod in cluster mode. The submitter gives it on, and a second one of the same name is refused by
// the cluster.
func driverName(attemptID string) string { return dnsName(attemptID, 56) + "-driver" }

// podPrefix begins the names of executors' pods. Spark allows 47 bytes (spark.kubernetes.executor.podNamePrefix), and takes no digit at
// the beginning, because the pods are host names too.
func podPrefix(attemptID string) string {
	name := dnsName(attemptID, 45)
	if name[0] >= '0' && name[0] <= '9' {
		name = "s-" + name
	}
	return name
}

// labelValue makes a label's value of a text, as Spark does with the names of applications.
func labelValue(text string) string {
	kept := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, text), "-_.")
	return strings.TrimRight(kept[:min(len(kept), 63)], "-_.")
}
