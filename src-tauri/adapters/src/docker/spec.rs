//! A container's specification as the engine wants it.

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, HostConfig, Mount, MountType,
    ResourcesUlimits,
};
use tandem_domain::container::ContainerSpec;

/// The body of the request. `devices` are those of the specification that the machine has.
pub(super) fn body(spec: &ContainerSpec, devices: &[String]) -> ContainerCreateBody {
    let device = |path: &String| DeviceMapping {
        path_on_host: Some(path.clone()),
        path_in_container: Some(path.clone()),
        cgroup_permissions: Some("rwm".into()),
    };
    let mount = |mount: &tandem_domain::container::Mount| Mount {
        typ: Some(MountType::BIND),
        source: Some(mount.source.clone()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        ..Mount::default()
    };
    let all_gpus = || DeviceRequest {
        count: Some(-1),
        capabilities: Some(vec![vec!["gpu".into()]]),
        ..DeviceRequest::default()
    };
    let limit = |name: &str, value: i64| ResourcesUlimits {
        name: Some(name.into()),
        soft: Some(value),
        hard: Some(value),
    };
    let host = HostConfig {
        mounts: Some(spec.mounts.iter().map(mount).collect()),
        devices: Some(devices.iter().map(device).collect()),
        device_requests: spec.gpus.then(|| vec![all_gpus()]),
        network_mode: spec.host_network.then(|| "host".into()),
        ipc_mode: spec.host_ipc.then(|| "host".into()),
        ulimits: spec
            .rdma_limits
            .then(|| vec![limit("memlock", -1), limit("stack", 64 << 20)]),
        cap_add: Some(spec.capabilities.clone()),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entrypoint.clone(),
        cmd: Some(spec.command.clone()),
        env: Some(
            spec.env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        labels: Some(spec.labels.iter().cloned().collect()),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::container::{ContainerSpec, Mount};

    #[test]
    fn only_what_is_asked_for_is_given() {
        let plain = ContainerSpec {
            name: "a".into(),
            image: "b".into(),
            ..ContainerSpec::default()
        };
        let host = super::body(&plain, &[]).host_config.expect("there");
        assert_eq!(host.device_requests, None);
        assert_eq!(
            (host.network_mode, host.ipc_mode, host.ulimits),
            (None, None, None)
        );
        assert_eq!((host.privileged, host.cap_add), (None, Some(vec![])));
    }

    #[test]
    fn a_serving_container_gets_gpus_limits_and_the_devices_that_exist() {
        let spec = ContainerSpec {
            name: "tandem-head".into(),
            image: "vllm/vllm-openai:stepfun37".into(),
            entrypoint: Some(vec!["vllm".into()]),
            command: vec!["serve".into()],
            env: vec![("A".into(), "1".into())],
            mounts: vec![Mount {
                source: "/h".into(),
                target: "/t".into(),
                read_only: true,
            }],
            devices: vec!["/dev/infiniband".into(), "/dev/none".into()],
            gpus: true,
            host_network: true,
            host_ipc: true,
            rdma_limits: true,
            capabilities: vec!["IPC_LOCK".into()],
            labels: vec![("dev.tandem.spec".into(), "x".into())],
        };
        let body =
            serde_json::to_value(super::body(&spec, &["/dev/infiniband".into()])).expect("JSON");
        let host = &body["HostConfig"];
        assert_eq!(host["DeviceRequests"][0]["Count"], -1);
        assert_eq!(host["DeviceRequests"][0]["Capabilities"][0][0], "gpu");
        assert_eq!(host["Devices"].as_array().expect("a list").len(), 1);
        assert_eq!(host["Ulimits"][0]["Hard"], -1);
        assert_eq!(host["Ulimits"][1]["Soft"], 67_108_864);
        assert_eq!(
            (&host["NetworkMode"], &host["IpcMode"]),
            (&"host".into(), &"host".into())
        );
        assert_eq!(host["Mounts"][0]["ReadOnly"], true);
        assert_eq!(body["Env"][0], "A=1");
        assert_eq!(body["Labels"]["dev.tandem.spec"], "x");
    }
}
