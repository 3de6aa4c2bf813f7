package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	lib "github.com/colinmarc/hdfs/v2"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// errNotDone is what errors are of calls that were to change something and have not, for certain.
var errNotDone = errors.New("nothing was changed")

// notDone makes an error be errNotDone, without a word of it in the text.
type notDone struct{ error }

func (e notDone) Unwrap() error        { return e.error }
func (e notDone) Is(target error) bool { return target == errNotDone }

// unavailable wraps an error that says why the file system is not available.
func unavailable(err error) error { return fmt.Errorf("%w: %w", dfs.ErrUnavailable, err) }

// exceptions of the namenode, by the last part of the class, and what they mean.
var exceptions = map[string]error{
	"FileNotFoundException":            fs.ErrNotExist,
	"FileAlreadyExistsException":       fs.ErrExist,
	"AccessControlException":           fs.ErrPermission,
	"TraverseAccessControlException":   fs.ErrPermission,
	"AuthorizationException":           fs.ErrPermission,
	"ParentNotDirectoryException":      dfs.ErrNotDirectory,
	"PathIsNotDirectoryException":      dfs.ErrNotDirectory,
	"PathIsNotEmptyDirectoryException": dfs.ErrNotEmpty,
	"AlreadyBeingCreatedException":     dfs.ErrOpenForWriting,
	"RecoveryInProgressException":      dfs.ErrOpenForWriting,

	"NSQuotaExceededException":            dfs.ErrQuota,
	"DSQuotaExceededException":            dfs.ErrQuota,
	"QuotaByStorageTypeExceededException": dfs.ErrQuota,
	"QuotaExceededException":              dfs.ErrQuota,

	"InvalidPathException":               dfs.ErrInvalid,
	"HadoopIllegalArgumentException":     dfs.ErrInvalid,
	"PathComponentTooLongException":      dfs.ErrInvalid,
	"MaxDirectoryItemsExceededException": dfs.ErrQuota,
	"AssertionError":                     dfs.ErrInvalid,
	// A directory whose files are to be encrypted, which the library does not do.
	"UnknownCryptoProtocolVersionException": dfs.ErrInvalid,

	"SafeModeException":                dfs.ErrUnavailable,
	"StandbyException":                 dfs.ErrUnavailable,
	"ObserverRetryOnActiveException":   dfs.ErrUnavailable,
	"RetriableException":               dfs.ErrUnavailable,
	"NotReplicatedYetException":        dfs.ErrUnavailable,
	"RpcServerException":               dfs.ErrUnavailable,
	"RpcNoSuchProtocolException":       dfs.ErrUnavailable,
	"LeaseExpiredException":            dfs.ErrUnavailable,
	"CannotObtainBlockLengthException": dfs.ErrOpenForWriting,
}

// explain gives an error of the library as one of package dfs. What the session has seen of its connections says more than the library's
// words for it.
func (s *session) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return unavailable(ctx.Err())
	}
	for _, known := range []error{
		dfs.ErrUnavailable, dfs.ErrCorrupt, dfs.ErrIsDirectory, dfs.ErrNotDirectory, dfs.ErrNotEmpty, dfs.ErrOpenForWriting, dfs.ErrQuota, dfs.ErrInvalid,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	var onPath *os.PathError
	if errors.As(err, &onPath) {
		// The path is said once, by the caller.
		err = onPath.Err
	}
	var remote lib.Error
	if errors.As(err, &remote) {
		return exception(remote.Exception(), remote.Message())
	}
	if class, message := s.tap.fatal(); class != "" {
		// The library takes it for an answer to something else.
		return exception(class, message)
	}
	switch {
	case errors.Is(err, syscall.ENOTEMPTY): // which is fs.ErrExist, too
		return dfs.ErrNotEmpty
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrPermission):
		return err
	case errors.Is(err, os.ErrInvalid):
		return dfs.ErrInvalid
	}
	s.mu.Lock()
	broken, ended := s.broken, s.ended
	s.mu.Unlock()
	switch {
	case ended != nil:
		err = ended
	case broken != nil:
		err = broken
	}
	if s.tap.undecided() {
		return unavailable(err)
	}
	return notDone{unavailable(err)}
}

// fromNamenode says whether an error of the library is about a namenode, by what it answered or by its not answering.
func (s *session) fromNamenode(err error) bool {
	var remote lib.Error
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.As(err, &remote) || s.broken != nil || strings.HasPrefix(err.Error(), "no available namenodes")
}

// exception gives the error that the namenode answered with.
func exception(class, message string) error {
	short := class[strings.LastIndexAny(class, ".$")+1:]
	// The message has a stack trace from its second line on.
	message, _, _ = strings.Cut(message, "\n")
	meaning := exceptions[short]
	switch {
	case strings.Contains(message, "could only be written to") || strings.Contains(message, "could only be replicated to"):
		// No datanode would take a block, now.
		meaning = dfs.ErrUnavailable
	case strings.Contains(message, "must both be directories"):
		// A file onto a directory, or the other way round.
		meaning = fs.ErrExist
	case short == "RpcServerException" && strings.Contains(message, "AccessControl"):
		meaning = fs.ErrPermission
	case meaning == nil:
		return fmt.Errorf("the namenode answers %s: %s", class, message)
	}
	if errors.Is(meaning, dfs.ErrUnavailable) {
		return notDone{fmt.Errorf("%w: %s: %s", meaning, short, message)}
	}
	return fmt.Errorf("%w: %s: %s", meaning, short, message)
}

// wrap says what could not be done.
func wrap(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s %q: %w", what, name, err)
}
