//! Every service of the contract, and reflection, as one table of routes.
//!
//! Must not know what the services do.

use super::{
    ANSWER_BYTES,
    caller::Authenticate,
    services::{generation::Generations, node::Nodes, policy::Policy, upload::Uploads},
};
use crate::{ServerError, face::FaceContext};
use ltx_proto::v1::{
    FILE_DESCRIPTOR_SET, generation_service_server::GenerationServiceServer, node_service_server::NodeServiceServer,
    policy_service_server::PolicyServiceServer, upload_service_server::UploadServiceServer,
};
use std::sync::Arc;
use tonic::{codegen::InterceptedService, service::Routes};

/// The contract's services, which know their callers, and reflection, which anybody may ask.
///
/// # Errors
/// `Reflection`.
pub(super) fn services(context: &FaceContext) -> Result<Routes, ServerError> {
    let most = context.node.config.limits.message_bytes.get();
    let auth = Authenticate(Arc::clone(&context.entrance));
    macro_rules! service {
        ($server:ident, $service:ident) => {
            InterceptedService::new(
                $server::new($service(context.clone()))
                    .max_decoding_message_size(most)
                    .max_encoding_message_size(ANSWER_BYTES),
                auth.clone(),
            )
        };
    }
    let reflected = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // What an error's details are, for clients that know nothing but what they are told here.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    // Many clients know the older of the two only.
    let reflection = reflected().build_v1().map_err(ServerError::Reflection)?;
    let reflection_alpha = reflected().build_v1alpha().map_err(ServerError::Reflection)?;
    let routes = Routes::new(service!(GenerationServiceServer, Generations))
        .add_service(service!(UploadServiceServer, Uploads))
        .add_service(service!(PolicyServiceServer, Policy))
        .add_service(service!(NodeServiceServer, Nodes))
        .add_service(reflection)
        .add_service(reflection_alpha);
    Ok(routes)
}
