// Package master puts a master together: the store, the executors, the engine, and what serves its clients. New makes one
// from a Config, Run starts everything in order and stops it in reverse. The program clic-master is a thin main around it;
// `clic run` uses the same package for a master of its own.
package master
