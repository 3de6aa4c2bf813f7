package webhdfs_test

import (
	"errors"
	"io/fs"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/webhdfs"
)

// FuzzParse parses answers that may be anything: errors have a kind or name an exception, and their text fits in a line.
func FuzzParse(f *testing.F) {
	for code, body := range map[int]string{
		404: `{"RemoteException":{"exception":"FileNotFoundException","javaClassName":"java.io.FileNotFoundException","message":"File does not exist: /none"}}`,
		500: `{"RemoteException":{"message":"Permission denied: user=a\n\tat x","exception":"AccessControlException"}}`,
		401: "<html><head><title>Error 401 Authentication required</title></head></html>",
		403: `{"RemoteException":{"javaClassName":"org.apache.hadoop.hdfs.protocol.DSQuotaExceededException"}}`,
		400: `{"RemoteException":null}`, 503: "", 307: "{", 200: `{"RemoteException":{"exception":"\u001b[31m"}}`,
	} {
		f.Add(code, body)
	}
	f.Add(200, `{"FileStatus":{"length":-1}}`)
	f.Add(200, `{"DirectoryListing":{"partialListing":{"FileStatuses":{"FileStatus":[{"pathSuffix":"a"}]}},"remainingEntries":1}}`)
	f.Fuzz(func(t *testing.T, code int, body string) {
		err := webhdfs.ParseError(code, []byte(body))
		var remote *webhdfs.RemoteError
		kind := errors.As(err, &remote)
		for _, k := range []error{fs.ErrPermission, dfs.ErrUnavailable} {
			kind = kind || errors.Is(err, k)
		}
		if !kind {
			t.Errorf("an error of no kind: %v", err)
		}
		text := err.Error()
		if len(text) > 2000 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("an error of %d bytes: %q", len(text), text)
		}
		var answer struct {
			FileStatus       *struct{ Length int64 }
			DirectoryListing *struct{ RemainingEntries int }
		}
		if err := webhdfs.ParseAnswer([]byte(body), &answer); err != nil && !errors.Is(err, dfs.ErrUnavailable) {
			t.Errorf("an answer: %v", err)
		}
	})
}

// FuzzRedirect parses addresses that servers redirect to: only hosts and queries of the same operation come through.
func FuzzRedirect(f *testing.F) {
	for _, location := range []string{
		"http://dn:9864/webhdfs/v1/x?op=OPEN&user.name=root&offset=1", "https://dn/webhdfs/v1/x?op=OPEN", "file:///etc/passwd", "//host/webhdfs/v1/x?op=OPEN",
		"http://user:pw@dn/webhdfs/v1/x?op=OPEN", "http://dn/webhdfs/v1/../../admin?op=OPEN", "http://dn/other?op=OPEN", "http://dn/webhdfs/v1/x?op=DELETE",
		"http://dn/webhdfs/v1/x?op=DELETE&op=OPEN", "http://[fe80::1%25eth0]/webhdfs/v1/x?op=OPEN", "", "http://:80/webhdfs/v1/?op=OPEN", "\x00",
	} {
		f.Add(location)
	}
	servers := []*url.URL{{Scheme: "http", Host: "nn:9870"}, {Scheme: "https", Host: "nn:9871"}}
	f.Fuzz(func(t *testing.T, location string) {
		for _, server := range servers {
			to, err := webhdfs.ParseRedirect(location, server, "OPEN")
			if err != nil {
				continue
			}
			if to.Scheme != "https" && (to.Scheme != "http" || server.Scheme == "https") || to.Hostname() == "" || to.User != nil || to.Path != "" {
				t.Errorf("%q leads to %v", location, to)
			}
			if q, err := url.ParseQuery(to.RawQuery); err != nil || !strings.EqualFold(q.Get("op"), "OPEN") {
				t.Errorf("%q leads to %v", location, to)
			}
		}
	})
}
