//go:build unix

package iostreams

import (
	"os"
	"os/signal"
	"syscall"
)

// Resized gives a signal when the terminal's size changes, until stop is called.
func Resized() (changes <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	return c, func() { signal.Stop(c) }
}
