package sdk

import (
	"context"
	"fmt"
	"strings"

	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/lane"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
	"github.com/brock-backup/brock/sdk/internal/turnstile"
	"github.com/brock-backup/brock/sdk/internal/wire"
)

// A destinationServer answers the host on behalf of Destinations.
type destinationServer struct {
	pluginpb.UnimplementedDestinationServiceServer
	meta    *meta
	commits commits
	puts    turnstile.Turnstile // as narrow as the plugin's limits
}

func newDestinationServer(m *meta) *destinationServer {
	return &destinationServer{meta: m, puts: turnstile.New(m.description.Limits.ConcurrentPuts)}
}

func (s *destinationServer) Get(req *pluginpb.GetRequest, stream pluginpb.DestinationService_GetServer) error {
	return code.Status(s.get(req, stream), req.GetName())
}

func (s *destinationServer) get(req *pluginpb.GetRequest, stream pluginpb.DestinationService_GetServer) error {
	d, err := instance[Destination](s.meta, req.GetInstance())
	if err != nil {
		return err
	}
	if err := frame.CheckName(req.GetName()); err != nil {
		return err
	}
	if req.GetOffset() < 0 {
		return fmt.Errorf("offset %d of %s: %w", req.GetOffset(), req.GetName(), ErrInvalid)
	}
	buffers, release := lane.Buffers(stream)
	defer release()
	r, err := d.Get(stream.Context(), req.GetName(), req.GetOffset())
	if err != nil {
		return err
	}
	defer r.Close()
	if err := stream.Send(&pluginpb.GetResponse{Step: &pluginpb.GetResponse_Info{Info: &pluginpb.GetInfo{}}}); err != nil {
		return err
	}
	sum, readErr, sendErr := frame.Copy(r, buffers, func(f *wire.Frame) error { return code.Error(stream.SendMsg(f)) })
	if readErr != nil {
		return readErr
	}
	if sendErr != nil {
		return sendErr
	}
	end := &pluginpb.GetEnd{Length: sum.Size, Crc32C: sum.CRC32C}
	return stream.Send(&pluginpb.GetResponse{Step: &pluginpb.GetResponse_End{End: end}})
}

// A page is sent once the names in it have this many bytes.
const pageSize = 64 << 10

func (s *destinationServer) List(req *pluginpb.ListRequest, stream pluginpb.DestinationService_ListServer) error {
	d, err := instance[Destination](s.meta, req.GetInstance())
	if err != nil {
		return err
	}
	if err := frame.CheckPrefix(req.GetPrefix()); err != nil {
		return err
	}
	page, size := &pluginpb.ListResponse{}, 0
	for obj, err := range d.List(stream.Context(), req.GetPrefix()) {
		if err != nil {
			return err
		}
		page.Objects = append(page.Objects, &pluginpb.Object{Name: obj.Name, Size: obj.Size})
		if size += len(obj.Name); size < pageSize {
			continue
		}
		if err := stream.Send(page); err != nil {
			return code.Error(err)
		}
		page.Objects, size = nil, 0
	}
	if err := stream.Context().Err(); err != nil {
		return err
	}
	return stream.Send(page)
}

func (s *destinationServer) Delete(ctx context.Context, req *pluginpb.DeleteRequest) (*pluginpb.DeleteResponse, error) {
	d, err := instance[Destination](s.meta, req.GetInstance())
	if err != nil {
		return nil, err
	}
	if err := frame.CheckName(req.GetName()); err != nil {
		return nil, err
	}
	s.commits.forget(req.GetInstance(), req.GetName())
	return &pluginpb.DeleteResponse{}, d.Delete(ctx, req.GetName())
}

func (s *destinationServer) Version(ctx context.Context, req *pluginpb.VersionRequest) (*pluginpb.VersionResponse, error) {
	d, err := instance[Replacer](s.meta, req.GetInstance())
	if err != nil {
		return nil, err
	}
	if err := frame.CheckName(req.GetName()); err != nil {
		return nil, err
	}
	version, err := d.Version(ctx, req.GetName())
	return &pluginpb.VersionResponse{Version: version}, err
}

func (s *destinationServer) Probe(ctx context.Context, req *pluginpb.ProbeRequest) (*pluginpb.ProbeResponse, error) {
	d, err := instance[Prober](s.meta, req.GetInstance())
	if err != nil {
		return nil, err
	}
	return &pluginpb.ProbeResponse{}, d.Probe(ctx)
}

func (s *destinationServer) Report(ctx context.Context, req *pluginpb.ReportRequest) (*pluginpb.ReportResponse, error) {
	d, err := instance[Reporter](s.meta, req.GetInstance())
	if err != nil {
		return nil, err
	}
	findings, err := d.Report(ctx)
	res := &pluginpb.ReportResponse{}
	for _, f := range findings {
		res.Findings = append(res.Findings, &pluginpb.Finding{
			Name: text(f.Name), Detail: text(f.Detail), Hint: text(f.Hint), Problem: f.Problem,
		})
	}
	return res, err
}

// text makes what a storage said fit for the wire, which takes UTF-8 only.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
