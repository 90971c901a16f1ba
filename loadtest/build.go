package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// build makes the server as it is released: static, stripped, without the race
// detector. With a profiler it is the same assembly in another main; see profiled.
func build(ctx context.Context, dir string, profiled bool) (string, error) {
	module, err := moduleRoot()
	if err != nil {
		return "", err
	}
	binary, source, ldflags := filepath.Join(dir, "handoff"), ".", "-s -w"
	if profiled {
		source, ldflags = "./loadtest/profiled", ""
	}
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", ldflags, "-o", binary, source)
	command.Dir = module
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, output)
	}
	return binary, nil
}

// moduleRoot finds the directory of go.mod, upwards from the current one.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod here or above: run it in the module")
		}
		dir = parent
	}
}
