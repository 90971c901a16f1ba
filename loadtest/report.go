package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// page is where -md writes, below the root of the module.
const page = "docs/performance.md"

func (m *machine) describe() string {
	return fmt.Sprintf("%s, %d cores (%s), %.0f GB RAM, %s, %s, %s; other work on the machine: %.0f %%",
		m.At.Format(time.DateOnly), m.Cores, m.Processor, m.MemoryGB, m.System, m.Go, strings.Join(m.Databases, ", "), 100*m.OtherLoad)
}

func (b *bench) of(scenario string) []*figure {
	return slices.DeleteFunc(slices.Clone(b.figures), func(f *figure) bool { return f.Scenario != scenario })
}

var head = []string{"database", "case", "figure", "ours", "floor", "ratio", "growth", "goal", ""}

// row is a figure in words. Goals say nothing about a small run.
func (b *bench) row(f *figure) []string {
	cells := []string{f.Database, f.Case, f.Metric, number(median(f.Ours)) + " " + f.Unit, "", "", "", "", ""}
	if len(f.Floor) > 0 {
		cells[4] = number(median(f.Floor)) + " " + f.Unit
	}
	if ratio := f.ratio(); ratio > 0 {
		cells[5] = number(ratio)
	}
	if growth := f.growth(); growth > 0 {
		cells[6] = number(growth)
	}
	if b.plan.runs >= full.runs {
		cells[7], cells[8] = f.Goal.String(), f.verdict()
	}
	return cells
}

// rows are the table of a scenario without the columns that are empty in all rows.
func (b *bench) rows(scenario string) [][]string {
	rows := [][]string{slices.Clone(head)}
	for _, f := range b.of(scenario) {
		rows = append(rows, b.row(f))
	}
	for column := len(head) - 1; column >= 0; column-- {
		if !slices.ContainsFunc(rows[1:], func(row []string) bool { return row[column] != "" }) {
			for i := range rows {
				rows[i] = slices.Delete(rows[i], column, column+1)
			}
		}
	}
	return rows
}

// table is a scenario for a terminal.
func (b *bench) table(scenario string) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range b.rows(scenario) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // to memory
	return text.String()
}

// markdown is a scenario for the page.
func (b *bench) markdown(scenario string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s. `%s`, median of %d.\n\n", b.machine.describe(), b.command, b.plan.runs)
	for i, row := range b.rows(scenario) {
		fmt.Fprintf(&text, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(&text, "|%s\n", strings.Repeat(" --- |", len(row)))
		}
	}
	return text.String()
}

// save writes the files that were asked for.
func (b *bench) save() error {
	if b.json != "" {
		text, err := json.MarshalIndent(map[string]any{"command": b.command, "machine": b.machine, "figures": b.figures}, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if !b.writePage {
		return nil
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	file := filepath.Join(root, page)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	updated := string(text)
	for _, scenario := range b.scenarios {
		if updated, err = replaceSection(updated, scenario, b.markdown(scenario)); err != nil {
			return err
		}
	}
	return os.WriteFile(file, []byte(updated), 0o644)
}

// replaceSection puts a text between the two marks of a section, which stay.
func replaceSection(text, name, section string) (string, error) {
	begin, end := "<!-- figures: "+name+" -->\n", "<!-- /figures: "+name+" -->"
	before, rest, found := strings.Cut(text, begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", errors.New(page + " has no section between " + strings.TrimSpace(begin) + " and " + end)
	}
	return before + begin + section + end + after, nil
}

// thousands writes a number with separators.
func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
