package webhdfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// maxMessage is how much of a server's message an error repeats.
const maxMessage = 500

// errAnswer: a server's answer is none of the protocol.
var errAnswer = fmt.Errorf("%w: the answer is not one of WebHDFS", dfs.ErrUnavailable)

// RemoteError is an exception of Hadoop, as the service names it. It wraps the error of package dfs or io/fs that stands for it, if
// there is one. The HTTP status says little: the two services give different ones for the same exception.
type RemoteError struct {
	// Exception is the name of the Java class without its package; Message is its first line.
	Exception, Message string
	// Status is the HTTP status.
	Status int
}

// Error gives the message and the exception.
func (e *RemoteError) Error() string { return fmt.Sprintf("%s (%s)", e.Message, e.Exception) }

// exceptions are the errors that Hadoop's exceptions stand for.
var exceptions = map[string]error{
	"FileNotFoundException":                          fs.ErrNotExist,
	"AccessControlException":                         fs.ErrPermission,
	"AuthorizationException":                         fs.ErrPermission,
	"AuthenticationException":                        fs.ErrPermission,
	"SecurityException":                              fs.ErrPermission,
	"InvalidToken":                                   fs.ErrPermission,
	"FileAlreadyExistsException":                     fs.ErrExist,
	"PathExistsException":                            fs.ErrExist,
	"ParentNotDirectoryException":                    dfs.ErrNotDirectory,
	"PathIsNotDirectoryException":                    dfs.ErrNotDirectory,
	"NotDirectoryException":                          dfs.ErrNotDirectory,
	"PathIsNotEmptyDirectoryException":               dfs.ErrNotEmpty,
	"StandbyException":                               dfs.ErrUnavailable,
	"SafeModeException":                              dfs.ErrUnavailable,
	"RetriableException":                             dfs.ErrUnavailable,
	"ServerTooBusyException":                         dfs.ErrUnavailable,
	"ConnectException":                               dfs.ErrUnavailable,
	"NoRouteToHostException":                         dfs.ErrUnavailable,
	"SocketTimeoutException":                         dfs.ErrUnavailable,
	"SocketException":                                dfs.ErrUnavailable,
	"EOFException":                                   dfs.ErrUnavailable,
	"NSQuotaExceededException":                       dfs.ErrQuota,
	"DSQuotaExceededException":                       dfs.ErrQuota,
	"QuotaExceededException":                         dfs.ErrQuota,
	"QuotaByStorageTypeExceededException":            dfs.ErrQuota,
	"DiskOutOfSpaceException":                        dfs.ErrQuota,
	"BlockMissingException":                          dfs.ErrCorrupt,
	"ChecksumException":                              dfs.ErrCorrupt,
	"CorruptFileBlocksException":                     dfs.ErrCorrupt,
	"InvalidPathException":                           dfs.ErrInvalid,
	"FSLimitException$PathComponentTooLongException": dfs.ErrInvalid,
	"PathComponentTooLongException":                  dfs.ErrInvalid,
}

// Unwrap gives what the exception stands for.
func (e *RemoteError) Unwrap() error {
	switch {
	case e.Exception == "FileNotFoundException" && strings.HasPrefix(e.Message, "Path is not a file"):
		return dfs.ErrIsDirectory
	case e.Exception == "AccessControlException" && strings.Contains(e.Message, "is not a directory"):
		return dfs.ErrNotDirectory // a file on the way, to whoever is no superuser
	case e.Exception == "RemoteException" || e.Exception == "IOException":
		// Exceptions in the text of others.
		for name, err := range exceptions {
			if strings.Contains(e.Message, "."+name+":") {
				return err
			}
		}
	}
	return exceptions[e.Exception]
}

// unsupported says that the server does not know the operation.
func unsupported(err error) bool {
	var remote *RemoteError
	if !errors.As(err, &remote) {
		return false
	}
	switch remote.Exception {
	case "UnsupportedOperationException":
		return true
	case "IllegalArgumentException":
		return strings.Contains(remote.Message, "op")
	}
	return false
}

// elsewhere says that nothing was done, and that another server may do it, or the same one later.
func elsewhere(err error) bool {
	var remote *RemoteError
	if !errors.As(err, &remote) {
		return false
	}
	switch remote.Exception {
	case "StandbyException", "SafeModeException", "RetriableException", "ServerTooBusyException":
		return true
	}
	return strings.Contains(remote.Message, "StandbyException") || strings.Contains(remote.Message, "SafeModeException")
}

// parseError makes an error of an answer that is none of success. body may be anything.
func parseError(code int, body []byte) error {
	var answer struct {
		RemoteException *struct {
			Exception     string `json:"exception"`
			JavaClassName string `json:"javaClassName"`
			Message       string `json:"message"`
		}
	}
	if err := json.Unmarshal(body, &answer); err == nil && answer.RemoteException != nil {
		e := answer.RemoteException
		name := e.Exception
		if name == "" {
			name = e.JavaClassName[strings.LastIndexByte(e.JavaClassName, '.')+1:]
		}
		if name != "" {
			return &RemoteError{Exception: oneLine(name), Message: oneLine(e.Message), Status: code}
		}
	}
	// Not from Hadoop itself but from the web server in front of it, or from something else altogether.
	text := fmt.Sprintf("the server says %d %s", code, http.StatusText(code))
	switch {
	case code == http.StatusUnauthorized:
		return fmt.Errorf("%w: %s: it wants a user, a token, or Kerberos, which is not spoken over HTTP", fs.ErrPermission, text)
	case code == http.StatusForbidden:
		return fmt.Errorf("%w: %s", fs.ErrPermission, text)
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return fmt.Errorf("%w: %s", dfs.ErrUnavailable, text)
	}
	return fmt.Errorf("%w, but %s", errAnswer, text)
}

// oneLine makes a server's text fit for an error message: its first line, without what a terminal would obey.
func oneLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > maxMessage {
		s = s[:maxMessage]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " ")))
}
