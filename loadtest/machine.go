package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine is what the figures were taken on.
type machine struct {
	Cores     int       `json:"cores"`
	Processor string    `json:"processor"`
	MemoryGB  float64   `json:"memoryGB"`
	System    string    `json:"system"`
	Go        string    `json:"go"`
	Databases []string  `json:"databases"`
	At        time.Time `json:"at"`
	// OtherLoad is how busy the machine was before anything was started, as a part
	// of all its cores: what is above a few hundredths spoils the figures.
	OtherLoad float64 `json:"otherLoad"`
}

// lookFor is how long the machine is watched before anything is started.
const lookFor = 3 * time.Second

func lookAtMachine(ctx context.Context) (machine, error) {
	m := machine{
		Cores: runtime.NumCPU(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, At: time.Now().UTC(),
		Processor: field("/proc/cpuinfo", "model name"),
	}
	if kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 64); err == nil {
		m.MemoryGB = kilobytes * 1024 / 1e9
	}
	idleBefore, allBefore, err := processorTime()
	if err != nil {
		return m, err
	}
	timer := time.NewTimer(lookFor)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return m, ctx.Err()
	}
	idle, all, err := processorTime()
	if err != nil {
		return m, err
	}
	m.OtherLoad = 1 - (idle-idleBefore)/(all-allBefore)
	return m, nil
}

// field reads a value of a file with lines "name : value"; "" = unknown.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// processorTime is the first line of proc(5)'s stat: idle (with waiting for the
// disk) and all time of all cores.
func processorTime() (idle, all float64, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 {
		return 0, 0, errors.New("proc(5) has too short a stat")
	}
	for i, field := range fields[1:9] { // guest time, behind these, is part of user time
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, 0, err
		}
		all += n
		if i == 3 || i == 4 {
			idle += n
		}
	}
	return idle, all, nil
}
