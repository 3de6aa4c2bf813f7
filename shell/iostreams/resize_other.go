//go:build !unix

package iostreams

import "os"

// Resized never gives a signal here: the next frame that is drawn has the new size.
func Resized() (changes <-chan os.Signal, stop func()) { return nil, func() {} }
