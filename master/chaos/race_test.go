//go:build race

package chaos

// raced says that this test looks for data races, and so does the master that it builds.
const raced = true
