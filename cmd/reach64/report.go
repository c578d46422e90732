package main

import (
	"context"
	"fmt"
	"time"

	"github.com/reach64/reach64/agent/control"
	"github.com/reach64/reach64/agent/diag"
	"github.com/reach64/reach64/agent/report"
)

// sampleEvery is how often the status is looked at while somebody watches.
const sampleEvery = time.Second

// samples looks at the status now, and every second until wait is over or ctx ends.
func samples(ctx context.Context, socket string, wait time.Duration) (out []report.Sample) {
	ctx, cancel := context.WithTimeout(ctx, max(wait, time.Second))
	defer cancel()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		if body, err := control.Get(ctx, socket, "/v1/status"); err == nil {
			if doc, err := readDocument(body); err == nil {
				out = append(out, report.Sample{At: time.Now(), Status: doc.Result})
			}
		}
		if wait == 0 {
			return out
		}
		select {
		case <-ctx.Done():
			return out
		case <-tick.C:
		}
	}
}

// writeHTML writes the doctor's report as a page; what is there is replaced whole.
func writeHTML(file string, r diag.Report, s []report.Sample) error {
	o, err := createOut(file)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := report.Write(o, report.Page{At: time.Now(), Version: version, Doctor: r, Samples: s}); err != nil {
		o.Discard()
		return err
	}
	if err := o.Commit(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
